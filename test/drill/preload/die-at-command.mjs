/**
 * Preloaded into a gateway: once the file DRILL_ARMED is there, it dies at its DRILL_COMMAND-th command to Redis, as by
 * SIGKILL: before that command is sent (DRILL_WHEN=before), or when its answer is there (DRILL_WHEN=after).
 */
import { existsSync } from 'node:fs';
import { Redis } from 'ioredis';

const { DRILL_ARMED, DRILL_COMMAND, DRILL_WHEN } = process.env;
/** What a gateway asks beside its calls: when it does is not the call's doing. */
const BACKGROUND = new Set(['info', 'ping', 'client', 'zcount', 'subscribe', 'zrange', 'hgetall', 'select']);
const { sendCommand } = Redis.prototype;
let left = Number(DRILL_COMMAND);
let isArmed = false;

const die = () => process.kill(process.pid, 'SIGKILL');

Redis.prototype.sendCommand = function (command, stream) {
  isArmed ||= existsSync(DRILL_ARMED);
  if (!isArmed || BACKGROUND.has(command.name.toLowerCase())) return sendCommand.call(this, command, stream);
  left -= 1;
  if (left === 0 && DRILL_WHEN === 'before') {
    // What was sent before this leaves first: it is this command that Redis never sees.
    this.stream?.uncork?.();
    die();
    return new Promise(() => undefined);
  }
  const sent = sendCommand.call(this, command, stream);
  if (left === 0) Promise.resolve(sent).then(die, die);
  return sent;
};
