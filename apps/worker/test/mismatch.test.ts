import { expect, test, vi } from 'vitest';
import { onMismatch, type TenantDriver } from '../src/cells/tenant-drivers.js';

const mismatch = { differingPages: 2, differingRegisters: ['rax'], memoryBytes: 1 << 20 };

test('a mismatch in the worker itself is its panic', () => {
  const panic = vi.fn();
  onMismatch({} as TenantDriver, mismatch, panic);
  expect(panic).toHaveBeenCalledExactlyOnceWith(mismatch);
});

test('a mismatch that a cell tells of ends that cell, and the worker goes on', () => {
  const [panic, end] = [vi.fn(), vi.fn()];
  onMismatch({ end } as unknown as TenantDriver, mismatch, panic);
  expect(panic).not.toHaveBeenCalled();
  expect(end).toHaveBeenCalledExactlyOnceWith(
    expect.objectContaining({
      code: 'MAYFLY_ERR_CELL_UNCLEAN',
      details: { differingPages: 2, differingRegisters: ['rax'] },
    }),
  );
});
