import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { freePort, type Process, ready, root, start } from '../../helpers/mayfly.js';
import { type RedisServer, type RedisServerOptions, startRedis } from '../../helpers/redis.js';

export interface FleetOptions {
  readonly gateways?: number;
  readonly workers?: number;
  readonly redis?: RedisServerOptions;
  readonly env?: Readonly<Record<string, string>>;
  readonly gatewayEnv?: Readonly<Record<string, string>>;
  readonly workerEnv?: Readonly<Record<string, string>>;
  /** Modules of `preload/`, by process. `count-entries` is in each worker. */
  readonly preload?: { readonly gateway?: string; readonly worker?: string };
  /** A command that runs gateways and workers. */
  readonly under?: readonly string[];
  /** Where artifacts and results are. @defaultValue a fresh folder */
  readonly dataDir?: string;
  /** What gateways and workers take for Redis, when it is not Redis itself. */
  readonly redisUrl?: (url: string, redis: RedisServer) => string;
}

/** One place in the fleet: a process that can be killed and started again under the same name and port. */
export class Member {
  readonly #launch: (extra: Readonly<Record<string, string>>) => Process;
  #process: Process;

  constructor(launch: (extra: Readonly<Record<string, string>>) => Process) {
    this.#launch = launch;
    this.#process = launch({});
  }

  get process(): Process {
    return this.#process;
  }

  /** Ends it by the signal; it stays down. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.#process.child.kill('SIGCONT');
    await this.#process.end(signal);
  }

  /** Whether it ends by itself before the time is over. */
  async diesWithin(limitMs: number): Promise<boolean> {
    const { child } = this.#process;
    const isDead = () => child.exitCode !== null || child.signalCode !== null;
    if (!isDead()) await Promise.race([once(child, 'exit'), delay(limitMs, undefined, { ref: false })]);
    return isDead();
  }

  start(extra: Readonly<Record<string, string>> = {}): void {
    this.#process = this.#launch(extra);
  }
}

/** Several gateways and workers over one Redis, as processes of their own. */
export class Fleet {
  readonly redis: RedisServer;
  readonly dataDir: string;
  readonly urls: readonly string[];
  readonly gateways: readonly Member[];
  readonly workers: readonly Member[];
  readonly #key: string;
  readonly #folder: string;
  readonly #entriesFile: string;

  private constructor(parts: {
    redis: RedisServer;
    folder: string;
    ports: readonly number[];
    options: FleetOptions;
  }) {
    const { redis, folder, ports, options } = parts;
    const { env = {}, under = [], preload = {}, redisUrl = (url: string) => url } = options;
    this.redis = redis;
    this.#folder = folder;
    this.dataDir = options.dataDir ?? path.join(folder, 'data');
    this.#key = `drill-${randomBytes(16).toString('hex')}`;
    this.#entriesFile = path.join(folder, 'entries');
    this.urls = ports.map((port) => `http://127.0.0.1:${port}`);
    const common = {
      MAYFLY_DATA_DIR: this.dataDir,
      MAYFLY_TENANT_KEY: this.#key,
      MAYFLY_GATEWAY_METRICS_PORT: '0',
      MAYFLY_WORKER_METRICS_PORT: '0',
      // Its one guest runs at every death, and is to blame for none.
      MAYFLY_WORKER_QUARANTINE_DEATHS: '0',
      ...env,
    };
    this.workers = Array.from({ length: options.workers ?? 2 }, (_, index) => {
      const preloads = ['count-entries', ...(preload.worker === undefined ? [] : [preload.worker])];
      const own = {
        MAYFLY_REDIS_URL: redisUrl(redis.urls.worker, redis),
        MAYFLY_WORKER_ID: `w-${index + 1}`,
        DRILL_ENTRIES: this.#entriesFile,
        NODE_OPTIONS: imports(preloads),
        ...options.workerEnv,
      };
      return new Member((extra) => start('apps/worker/dist/main.js', { ...common, ...own, ...extra }, under));
    });
    this.gateways = ports.map((port, index) => {
      const own = {
        MAYFLY_REDIS_URL: redisUrl(redis.urls.gateway, redis),
        MAYFLY_PORT: String(port),
        MAYFLY_GATEWAY_ID: `g-${index + 1}`,
        ...(preload.gateway !== undefined && { NODE_OPTIONS: imports([preload.gateway]) }),
        ...options.gatewayEnv,
      };
      return new Member((extra) =>
        start('apps/gateway/dist/server.js', { ...common, ...own, ...extra }, under),
      );
    });
  }

  /** Resolves once each gateway is ready, and the guest of the drill uploaded. */
  static async start(options: FleetOptions = {}): Promise<Fleet> {
    const redis = await startRedis({ aof: true, ...options.redis });
    const folder = await mkdtemp(path.join(tmpdir(), 'mf-drill-'));
    const ports = [];
    for (let i = 0; i < (options.gateways ?? 2); i += 1) ports.push(await freePort());
    const fleet = new Fleet({ redis, folder, ports, options });
    try {
      for (const index of fleet.gateways.keys()) await fleet.ready(index);
      await fleet.upload('spin');
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  get members(): readonly Member[] {
    return [...this.gateways, ...this.workers];
  }

  async ready(gateway: number): Promise<void> {
    await ready(
      this.urls[gateway] as string,
      this.members.map(({ process }) => process).filter(({ child }) => child.exitCode === null),
    );
  }

  /** Resolves once the gateway takes connections. */
  async listens(gateway: number): Promise<void> {
    while (!(await isLive(this.urls[gateway] as string))) await delay(50);
  }

  /** A request with the tenant's key. */
  request(gateway: number, target: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${this.#key}`, ...(init.headers as Record<string, string>) };
    return fetch(`${this.urls[gateway]}${target}`, { ...init, headers });
  }

  /** Uploads a guest of `guests/build` under its own name. */
  async upload(guest: string): Promise<void> {
    const answer = await this.offer(0, guest);
    if (!answer.ok) throw new Error(`the upload was answered ${answer.status}: ${await answer.text()}`);
  }

  /** The gateway's answer to such an upload. */
  async offer(gateway: number, guest: string): Promise<Response> {
    const build = path.join(root, 'guests/build');
    const form = new FormData();
    form.append('manifest', await readFile(path.join(build, `${guest}.json`), 'utf8'));
    form.append('binary', new Blob([await readFile(path.join(build, `${guest}.elf`))]), `${guest}.elf`);
    return this.request(gateway, `/v1/functions/${guest}/versions`, { method: 'POST', body: form });
  }

  /** How often each invocation was given to a sandbox, by any worker, living or dead. */
  async guestEntries(): Promise<ReadonlyMap<string, number>> {
    const text = await readFile(this.#entriesFile, 'utf8').catch(() => '');
    const times = new Map<string, number>();
    for (const line of text.split('\n').filter(Boolean)) {
      const [id, by] = line.startsWith('-') ? [line.slice(1), -1] : [line, 1];
      times.set(id, (times.get(id) ?? 0) + by);
    }
    return times;
  }

  /** Resolves once every gateway is ready, whatever befell the fleet. */
  async healed(limitMs = 60_000): Promise<boolean> {
    const deadlineMs = Date.now() + limitMs;
    for (const url of this.urls) {
      for (;;) {
        const signal = AbortSignal.timeout(5_000);
        const isReady = await fetch(`${url}/readyz`, { signal }).then(
          ({ ok }) => ok,
          () => false,
        );
        if (isReady) break;
        if (Date.now() > deadlineMs) return false;
        await delay(100);
      }
    }
    return true;
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.end('SIGKILL')));
    await this.redis.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function isLive(url: string): Promise<boolean> {
  return fetch(`${url}/livez`, { signal: AbortSignal.timeout(2_000) }).then(
    ({ ok }) => ok,
    () => false,
  );
}

function imports(modules: readonly string[]): string {
  return modules
    .map((name) => `--import=${pathToFileURL(path.join(root, 'test/drill/preload', `${name}.mjs`)).href}`)
    .join(' ');
}
