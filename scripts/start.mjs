import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fail, main, say } from './lib/console.mjs';
import { root } from './lib/exec.mjs';
import { startMayfly } from './lib/mayfly.mjs';
import { setup } from './lib/setup.mjs';

const exitAfterDemonstration = process.argv.includes('--exit');

await main(async () => {
  say('Setting up Mayfly\n');
  await setup({ programs: process.env.MAYFLY_REDIS_URL ? [] : ['redis-server'] });

  const interrupted = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve(signal));
  });
  const mayfly = await startMayfly();
  const childEnded = Promise.race(
    mayfly.children.map((child) => child.exited.then((how) => ({ child, how }))),
  );
  let failure;
  try {
    await demonstrate(mayfly);
    if (!exitAfterDemonstration) {
      say('\nMayfly is up. Ctrl-C drains and stops it.');
      const end = await Promise.race([interrupted, childEnded]);
      if (typeof end !== 'string') failure = `${end.child.name} ended unexpectedly:\n${end.child.logTail()}`;
    }
  } catch (error) {
    failure = error.message;
  }
  say('\nDraining …');
  const ended = await mayfly.stop();
  for (const { name, code, signal } of ended) say(`${name.padEnd(10)} ended (${signal ?? `exit ${code}`})`);
  const unclean = ended.filter(({ code }) => code !== 0);
  if (failure === undefined && unclean.length > 0)
    failure = `Not a clean end: ${unclean.map((e) => e.name).join(', ')}`;
  if (failure !== undefined) fail(failure);
});

/** What a newcomer came to see: a binary goes in, its micro-VM answers. */
async function demonstrate({ url, tenantKey }) {
  const authorization = `Bearer ${tenantKey}`;
  const call = async (target, init) => {
    const response = await fetch(`${url}${target}`, { ...init, headers: { authorization, ...init.headers } });
    const text = await response.text();
    if (!response.ok) fail(`${init.method} ${target} answered ${response.status}: ${text}`);
    return { status: response.status, text };
  };

  const form = new FormData();
  const file = (name) => readFileSync(path.join(root, 'guests/build', name));
  form.append('manifest', file('hello.json').toString('utf8'));
  form.append('binary', new Blob([file('hello.elf')]), 'hello.elf');
  const upload = await call('/v1/functions/hello/versions', { method: 'POST', body: form });
  const version = JSON.parse(upload.text).version;
  say(`\nUploaded   guests/samples/hello as function "hello", version ${version} (${upload.status})`);

  const started = performance.now();
  const body = JSON.stringify({ function: 'hello', args: ['newcomer'] });
  const answer = await call('/invoke', {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  });
  const elapsedMs = performance.now() - started;
  say(
    `Invoked    POST /invoke ${body} in its own micro-VM, ${elapsedMs.toFixed(1)} ms\n\n  ${answer.text}\n`,
  );

  say(`API        ${url}   (OpenAPI: ${url}/openapi.json)`);
  say(`Tenant key ${tenantKey}`);
  say('Try\n');
  say(
    `  curl -s ${url}/invoke/hello -H 'Authorization: ${authorization}' -H 'Content-Type: text/plain' -d 'world'`,
  );
}
