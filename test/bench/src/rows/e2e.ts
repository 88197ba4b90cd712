import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { startChild, stopChild } from '../child.js';
import { load, writeLoadScript } from '../load.js';
import { type BenchContext, type Benchmark, median, row } from '../row.js';

/** 1 KB of JSON, the size that `queue-floors` measures. */
const TEXT = 'x'.repeat(900);
const BODY = JSON.stringify({
  function: 'echo',
  entrypoint: 'EchoString',
  args: [{ type: 'string', value: TEXT }],
  returns: 'string',
});
const WARM_SECONDS = 4;
const WINDOW_SECONDS = 2;
const ROUNDS = 5;
const IN_FLIGHT = 32;

interface Contender {
  readonly url: string;
  readonly latenciesUs: number[];
  readonly rates: number[];
}

const contender = (port: number): Contender => ({
  url: `http://127.0.0.1:${port}/invoke`,
  latenciesUs: [],
  rates: [],
});

export const e2e: Benchmark = {
  rows: ['e2e-latency', 'e2e-throughput', 'e2e-vs-rpc'],
  async run(context) {
    const mayfly = await startMayfly(context);
    const children = [];
    try {
      const elf = path.join(context.root, 'guests/build/echo.elf');
      const [textbookPort, rpcPort] = [await freePort(), await freePort()];
      for (const [name, port] of [
        ['textbook', textbookPort],
        ['rpc', rpcPort],
      ] as const) {
        children.push(await startChild(`floors/${name}-worker.js`, [mayfly.redisUrl, elf]));
        children.push(await startChild(`floors/${name}-gateway.js`, [mayfly.redisUrl, `${port}`]));
      }
      const script = path.join(context.scratchFolder, 'echo.lua');
      const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${mayfly.tenantKey}` };
      await writeLoadScript(script, BODY, headers);

      const [ours, textbook, rpc] = [contender(mayfly.port), contender(textbookPort), contender(rpcPort)];
      const all = [ours, textbook, rpc];
      for (const { url } of all) {
        await checkEcho(url, headers);
        await load(script, url, IN_FLIGHT, WARM_SECONDS);
      }
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const one of all) one.latenciesUs.push((await load(script, one.url, 1, WINDOW_SECONDS)).p50Us);
        for (const one of all)
          one.rates.push((await load(script, one.url, IN_FLIGHT, WINDOW_SECONDS)).requestsPerSecond);
      }
      for (const { url } of all) await checkEcho(url, headers);
      process.stderr.write(
        `e2e p50 us: mayfly ${median(ours.latenciesUs)}, textbook ${median(textbook.latenciesUs)}, rpc ${median(rpc.latenciesUs)}\n`,
      );
      return [
        row('e2e-latency', 'us', ours.latenciesUs, textbook.latenciesUs),
        row('e2e-throughput', 'req/s', ours.rates, textbook.rates),
        row('e2e-vs-rpc', 'req/s', ours.rates, rpc.rates),
      ];
    } finally {
      for (const child of children) await stopChild(child);
      await mayfly.stop();
    }
  },
};

/** A 200 proves nothing: the echoed text must be the one that was sent. */
async function checkEcho(url: string, headers: Record<string, string>): Promise<void> {
  const response = await fetch(url, { method: 'POST', headers, body: BODY });
  const answer = (await response.json()) as { result?: { value?: string } };
  if (answer.result?.value !== TEXT)
    throw new TypeError(`${url} does not echo: ${response.status} ${JSON.stringify(answer)}`);
}

interface RunningMayfly {
  readonly port: number;
  readonly tenantKey: string;
  readonly redisUrl: string;
  stop(): Promise<unknown>;
}

/** The launcher's own Redis, gateway and worker, with the echo function uploaded. */
async function startMayfly({ root, scratchFolder }: BenchContext): Promise<RunningMayfly> {
  const port = await freePort();
  process.env['MAYFLY_DATA_DIR'] = path.join(scratchFolder, 'data');
  process.env['MAYFLY_PORT'] = `${port}`;
  delete process.env['MAYFLY_REDIS_URL'];
  const launcher = (await import(path.join(root, 'scripts/lib/mayfly.mjs'))) as {
    startMayfly(): Promise<{
      url: string;
      tenantKey: string;
      redisUrl: string;
      redisPort: number;
      stop(): Promise<unknown>;
    }>;
  };
  const mayfly = await launcher.startMayfly();
  const build = path.join(root, 'guests/build');
  const form = new FormData();
  form.append('manifest', await readFile(path.join(build, 'echo.json'), 'utf8'));
  form.append('binary', new Blob([await readFile(path.join(build, 'echo.elf'))]), 'echo.elf');
  const headers = { authorization: `Bearer ${mayfly.tenantKey}` };
  const upload = await fetch(`${mayfly.url}/v1/functions/echo/versions`, {
    method: 'POST',
    body: form,
    headers,
  });
  if (!upload.ok) throw new TypeError(`upload answered ${upload.status}: ${await upload.text()}`);
  // The floors reach the same Redis the same way: over its unix socket, with its password.
  return { port, tenantKey: mayfly.tenantKey, redisUrl: mayfly.redisUrl, stop: mayfly.stop };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
