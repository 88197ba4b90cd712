/**
 * Preloaded into a worker: a line in DRILL_ENTRIES for each call that is given to a sandbox, written before that, and
 * one more, with a minus, for a call that was taken back before it began. A line that was written survives the
 * process, so what ran is known also of workers that were killed.
 */
import { openSync, writeSync } from 'node:fs';
import { Sandbox } from '@mayfly/hypervisor';

const file = openSync(process.env.DRILL_ENTRIES, 'a');
const current = new WeakMap();
const { invoke, revoke } = Sandbox.prototype;

Sandbox.prototype.invoke = function (entrypoint, args, returns, options) {
  const id = options?.context?.invocationId;
  if (id) writeSync(file, `${id}\n`);
  current.set(this, id);
  return invoke.call(this, entrypoint, args, returns, options);
};

Sandbox.prototype.revoke = function () {
  const isRevoked = revoke.call(this);
  const id = current.get(this);
  if (isRevoked && id) {
    current.delete(this);
    writeSync(file, `-${id}\n`);
  }
  return isRevoked;
};
