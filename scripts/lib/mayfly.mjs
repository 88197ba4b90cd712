import { createHash, randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { jailSuffices } from '../doctor/jail.mjs';
import { fail, say } from './console.mjs';
import { root, run } from './exec.mjs';
import { startProcess } from './processes.mjs';
import { startRedis } from './redis.mjs';

/** Longest path a unix socket may have (sun_path), with room for a file name. */
const SOCKET_FOLDER_LENGTH = 80;
const GATEWAY_GRACE_MS = 40_000;
const WORKER_GRACE_MS = 40_000;
const REDIS_GRACE_MS = 10_000;
const READY_TIMEOUT_MS = 60_000;

/** Redis (unless MAYFLY_REDIS_URL names one), gateway and worker on this machine. */
export async function startMayfly() {
  const dataFolder = path.resolve(process.env.MAYFLY_DATA_DIR || path.join(root, '.mayfly'));
  const logFolder = path.join(dataFolder, 'logs');
  const runFolder = socketFolder(dataFolder);
  for (const folder of [dataFolder, logFolder, runFolder])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  checkOwn(runFolder);
  const tenantKey = process.env.MAYFLY_TENANT_KEY || keptKey(path.join(dataFolder, 'tenant-key'));
  const port = process.env.MAYFLY_PORT || '8080';
  const url = `http://127.0.0.1:${port}`;
  await checkFree(port);

  const started = [];
  const stop = async () => {
    const ended = [];
    for (const { process: child, graceMs } of started.reverse()) {
      ended.push({ name: child.name, ...(await child.stop(graceMs)) });
    }
    return ended;
  };
  const begin = (child, graceMs) => {
    started.push({ process: child, graceMs });
    say(`${child.name.padEnd(10)} process ${child.pid}`);
    return child;
  };

  try {
    const given = process.env.MAYFLY_REDIS_URL;
    if (given) say('redis      skipped: MAYFLY_REDIS_URL names one');
    const urls = given
      ? { operator: given, gateway: given, worker: given }
      : begin(await startRedis({ dataFolder, runFolder, logFolder }), REDIS_GRACE_MS).urls;

    const env = {
      MAYFLY_DATA_DIR: dataFolder,
      MAYFLY_SECRETS_KEY_FILE: process.env.MAYFLY_SECRETS_KEY_FILE || keptSecretsKey(dataFolder),
    };
    const node = (name, file, extra, graceMs) =>
      begin(
        startProcess(name, process.execPath, [path.join(root, file)], {
          env: { ...env, ...extra },
          logFolder,
        }),
        graceMs,
      );
    const operatorKey = await firstOperatorKey({ ...env, MAYFLY_REDIS_URL: urls.gateway });
    if (operatorKey)
      say(`\nOperator key ${operatorKey}\n           shown this once: only its hash is kept\n`);
    // The worker starts first and so is drained last: a gateway on its way out still gets its answers.
    const worker = node(
      'worker',
      'apps/worker/dist/main.js',
      { MAYFLY_REDIS_URL: urls.worker, ...isolation() },
      WORKER_GRACE_MS,
    );
    const gateway = node(
      'gateway',
      'apps/gateway/dist/server.js',
      { MAYFLY_REDIS_URL: urls.gateway, MAYFLY_PORT: port, MAYFLY_TENANT_KEY: tenantKey },
      GATEWAY_GRACE_MS,
    );
    await ready(url, [worker, gateway]);
    const children = started.map((entry) => entry.process);
    return { url, tenantKey, operatorKey, dataFolder, redisUrl: urls.operator, children, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** There is one tenant here, so that a host which cannot jail cells can still show what Mayfly does. */
function isolation() {
  if (process.env.MAYFLY_ISOLATION || jailSuffices()) return {};
  say('isolation  thread: this host does not allow the jail of cells (npm run doctor says why)');
  return { MAYFLY_ISOLATION: 'thread' };
}

function socketFolder(dataFolder) {
  const inside = path.join(dataFolder, 'run');
  if (inside.length <= SOCKET_FOLDER_LENGTH) return inside;
  const name = createHash('sha256').update(dataFolder).digest('hex').slice(0, 16);
  return path.join(os.tmpdir(), `mayfly-${process.getuid?.() ?? 0}-${name}`);
}

/** Sockets and the password of Redis lie there, and below the temporary folder anybody can have made it first. */
function checkOwn(folder) {
  const { uid, mode } = lstatSync(folder);
  const isOwn = uid === process.getuid?.() && (mode & 0o077) === 0;
  if (!isOwn) fail(`${folder} has to be a folder that nobody else can enter: remove it, or chmod 700.`);
}

/** What listens on the gateway's port already would answer in its place, and be shown the tenant key. */
async function checkFree(port) {
  const server = createServer();
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: Number(port), host: '127.0.0.1' }, () => server.close(resolve));
  }).catch((error) =>
    fail(
      `Port ${port} of 127.0.0.1 cannot be used (${error.code}): is Mayfly running? MAYFLY_PORT names another.`,
    ),
  );
}

/** The tenant key of this data directory, made on the first start. */
function keptKey(file) {
  if (!existsSync(file)) writeFileSync(file, `mf_${randomBytes(24).toString('hex')}\n`, { mode: 0o600 });
  return readFileSync(file, 'utf8').trim();
}

/** The file of keys for secrets of this data directory, made on the first start. */
function keptSecretsKey(dataFolder) {
  const file = path.join(dataFolder, 'secrets-key');
  if (!existsSync(file)) writeFileSync(file, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  return file;
}

/** Makes the operator's key on the first start over this Redis. @returns undefined when there is one. */
async function firstOperatorKey(env) {
  const file = path.join(root, 'apps/gateway/dist/operator-key.js');
  const { output } = await run(process.execPath, [file, '--first', '--label', 'npm start'], { env });
  return /^mfo_\S+$/m.exec(output)?.[0];
}

/** Waits until the gateway says it is ready; a child that ends meanwhile ends the wait with its log. */
async function ready(url, children) {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let dead;
  for (const child of children) child.exited.then((how) => (dead ??= { child, how }));
  for (;;) {
    if (dead)
      fail(
        `${dead.child.name} ended (${dead.how.signal ?? `exit ${dead.how.code}`}):\n${dead.child.logTail()}`,
      );
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    if (Date.now() > deadline) {
      const state = answer ? await answer.text() : 'no answer';
      fail(`The gateway at ${url} is not ready after ${READY_TIMEOUT_MS / 1000} s: ${state}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
