import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { AuditLog } from './audit/audit-log.js';
import { loadConfig } from './config.js';
import { connectRedis } from './redis.js';
import { KeyAdmin } from './tenants/key-admin.js';
import { TenantDirectory } from './tenants/tenant-directory.js';
import { DEFAULT_POLICY } from './tenants/tenant-policies.js';

/**
 * `node operator-key.js [--first] [--label TEXT]`: makes an operator's key and prints it, alone, on standard output;
 * nowhere else is it kept. `--first`: only when there is none yet. Whoever can write to the gateway's Redis can do
 * this; the audit log tells of it.
 */
const { values } = parseArgs({
  options: { first: { type: 'boolean', default: false }, label: { type: 'string', default: 'command line' } },
});
const redis = await connectRedis(loadConfig(process.env).redis, pino({}, pino.destination(2)));
try {
  const directory = new TenantDirectory(redis.commands, DEFAULT_POLICY);
  const keyAdmin = new KeyAdmin(directory, new AuditLog(redis.commands));
  const isWanted = !values.first || (await keyAdmin.list('')).length === 0;
  if (isWanted) {
    const { text } = await keyAdmin.create('operator-key', '', { scopes: [], label: values.label });
    process.stdout.write(`${text}\n`);
  }
} finally {
  await redis.close();
}
