import { readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from '../lib/exec.mjs';

/** Functions that the load calls: good ones, one that fails, one that never ends, one that traces itself. */
const FUNCTIONS = ['hello', 'echo', 'hostcalls', 'spin', 'output', 'trace'];
const PAUSE_MS = 100;

/** Uploads them, then calls them at about ten rounds a second until `stop` is called. */
export async function startLoad({ url, tenantKey }) {
  const authorization = `Bearer ${tenantKey}`;
  const post = (target, headers, body) =>
    fetch(`${url}${target}`, { method: 'POST', headers: { authorization, ...headers }, body }).then(
      (answer) => answer.arrayBuffer(),
    );
  for (const name of FUNCTIONS) {
    const file = (ending) => readFileSync(path.join(root, 'guests/build', `${name}.${ending}`));
    const form = new FormData();
    form.append('manifest', file('json').toString('utf8'));
    form.append('binary', new Blob([file('elf')]), `${name}.elf`);
    await post(`/v1/functions/${name}/versions`, {}, form);
  }
  const invoke = (call, headers = {}) =>
    post('/invoke', { 'content-type': 'application/json', ...headers }, JSON.stringify(call));

  let running = true;
  const done = (async () => {
    for (let round = 0; running; round += 1) {
      const calls = [
        invoke({ function: 'hello', args: ['operator'] }),
        invoke({ function: 'echo', entrypoint: 'Add', args: [round % 1000, 1] }),
        invoke({ function: 'output', entrypoint: 'Print', args: ['round'] }),
      ];
      if (round % 5 === 0)
        calls.push(
          post('/invoke/hello', { 'content-type': 'text/plain', prefer: 'respond-async' }, 'operator'),
          invoke({ function: 'trace', entrypoint: 'Host', args: [] }),
        );
      if (round % 20 === 0) calls.push(invoke({ function: 'hostcalls', entrypoint: 'CallHost', args: [3] }));
      if (round % 50 === 0) calls.push(invoke({ function: 'spin', args: [], timeoutMs: 100 }));
      await Promise.all(calls).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  })();
  return {
    stop: () => {
      running = false;
      return done;
    },
  };
}
