import { DEFAULT_SETTINGS, type FunctionSettings, type TenantQuotas } from '@mayfly/contracts';
import { invalidRequest, type RequestFault } from '../errors.js';
import { ENV_BYTES, type SettingsInput } from '../schemas/settings.js';

/** What differs from the defaults, with its own parts filled in. */
export function settingsOf(input: SettingsInput): Partial<FunctionSettings> {
  const { concurrency, retry, ...rest } = input;
  const { reserved } = DEFAULT_SETTINGS.concurrency;
  return {
    ...rest,
    ...(concurrency && { concurrency: { reserved, ...concurrency } }),
    ...(retry && { retry: { ...DEFAULT_SETTINGS.retry, ...retry } }),
  };
}

/**
 * What no schema can say: parts that must go with each other, and with what the tenant may use.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST
 */
export function checkSettings(settings: Partial<FunctionSettings>, quotas: TenantQuotas): void {
  const { concurrency, retry, env = {}, timeoutMs = 0, memoryBytes = 0 } = settings;
  const { max = 0, reserved = 0 } = concurrency ?? {};
  const faults: RequestFault[] = [];
  const atMost = (pointer: string, value: number, quota: keyof TenantQuotas) => {
    if (value > quotas[quota])
      faults.push({ pointer, detail: `at most ${quotas[quota]}, the tenant's ${quota}` });
  };
  atMost('/timeoutMs', timeoutMs, 'maxTimeoutMs');
  atMost('/memoryBytes', memoryBytes, 'maxMemoryBytes');
  atMost('/concurrency/max', max, 'maxRunning');
  atMost('/concurrency/reserved', reserved, 'maxRunning');
  if (concurrency?.max !== undefined && reserved > concurrency.max)
    faults.push({ pointer: '/concurrency/reserved', detail: 'at most concurrency.max' });
  if (retry && retry.minBackoffMs > retry.maxBackoffMs)
    faults.push({ pointer: '/retry/minBackoffMs', detail: 'at most retry.maxBackoffMs' });
  const envBytes = Object.entries(env).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
  if (envBytes > ENV_BYTES) faults.push({ pointer: '/env', detail: `at most ${ENV_BYTES} bytes in all` });
  if (Object.values(env).some((value) => value.includes('\0')))
    faults.push({ pointer: '/env', detail: 'no value may hold a NUL' });
  if (faults.length > 0) throw invalidRequest(...faults);
}
