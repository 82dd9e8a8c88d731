import { FdTable, registerDrivers } from '@dmabuf-emu/core';
import { KernelBug, Machine, setSyncHook } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { exported, recorder } from './recorder.fixture.ts';

/** Has another task close the descriptor as soon as it is there, while `dma_buf_fd` still runs. */
function closeAtOnce(machine: Machine): number {
  const recording = recorder();
  const dmabuf = exported(machine, recording);
  const other = Machine.join(machine.handle, { name: 'closer' });
  registerDrivers(other, [recording.exporter]);
  const table = FdTable.of(other, FdTable.current(machine).ref).join();
  const former = setSyncHook(null);
  const closeWhenThere = (label: string): void => {
    if (label !== 'spin.unlock') return;
    setSyncHook(former);
    if (table.entries().length > 0) table.close(0);
    else setSyncHook(closeWhenThere);
  };
  setSyncHook(closeWhenThere);
  try {
    return dmabuf.fd();
  } finally {
    setSyncHook(former);
    other.leave();
    FdTable.exit(machine);
  }
}

describe('a descriptor that is closed while it is being made (core §8.3 K3)', () => {
  it('leaves the buffer alone once it is there', () => {
    using machine = testMachine();
    expect(closeAtOnce(machine)).toBe(0);
  });

  it.each(['7.0', '7.1-rc2'] as const)('is a use after free in %s', (kernel) => {
    using machine = testMachine({ kernel });
    machine.diag.expect('bug', 'use-after-free');
    expect(() => closeAtOnce(machine)).toThrow(KernelBug);
  });
});
