import { loadBinding, type NativeSharedKill } from '@mayfly/native';
import { hypervisorError } from '../errors.js';

/**
 * What `DriverInterrupt.share` named, in whatever thread of the process this is; undefined once its VM is gone.
 * @throws MAYFLY_ERR_NO_HYPERVISOR when the addon does not load in this thread.
 */
export function sharedKill(id: number): NativeSharedKill | undefined {
  let binding: ReturnType<typeof loadBinding>;
  try {
    binding = loadBinding();
  } catch (error) {
    throw hypervisorError('MAYFLY_ERR_NO_HYPERVISOR', 'The native addon does not load in this thread', {
      cause: error,
    });
  }
  return binding.sharedKill(id);
}
