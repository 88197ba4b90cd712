import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface Window {
  readonly p50Us: number;
  readonly requestsPerSecond: number;
}

/** wrk posts one body over and over; its `done` hook prints microseconds, which the summary would round. */
export async function writeLoadScript(
  file: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const lines = Object.entries(headers).map(
    ([name, value]) => `wrk.headers[${quote(name)}] = ${quote(value)}`,
  );
  const script = `wrk.method = "POST"
wrk.body = ${quote(body)}
${lines.join('\n')}
done = function(summary, latency, requests)
  local e = summary.errors
  local bad = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("RESULT %d %d %d %d\\n", latency:percentile(50), summary.requests, summary.duration, bad))
end
`;
  await writeFile(file, script);
}

/** One window of load. Throws when a request failed: a rate with errors in it is not a rate. */
export async function load(script: string, url: string, inFlight: number, seconds: number): Promise<Window> {
  const args = ['-t', '1', '-c', `${inFlight}`, '-d', `${seconds}s`, '-s', path.resolve(script), url];
  const { stdout } = await execute('wrk', args);
  const match = /RESULT (\d+) (\d+) (\d+) (\d+)/.exec(stdout);
  if (!match) throw new TypeError(`wrk printed no result:\n${stdout}`);
  const [p50Us, requests, durationUs, failed] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  if (failed > 0) throw new TypeError(`${failed} of ${requests} requests to ${url} failed`);
  return { p50Us, requestsPerSecond: (requests * 1e6) / durationUs };
}

const quote = (text: string) => JSON.stringify(text).replaceAll('\\u', '\\\\u');
