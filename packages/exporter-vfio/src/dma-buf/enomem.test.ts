import { FdTable } from '@dmabuf-emu/core';
import { VfioDevice } from '@dmabuf-emu/exporter-vfio';
import { isKernelError } from '@dmabuf-emu/shm';
import { expect, test } from 'vitest';
import { Session } from '#dist/testing/importer.test-worker.js';
import { type Rig, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

/** Everything that allocates, undone in the end however far it came. */
function useEverything(r: Rig): void {
  const table = FdTable.current(r.machine);
  const device = VfioDevice.open(r.machine, BDF.NEAR);
  const undo: (() => void)[] = [() => device.close()];
  try {
    const ranges = [0, 0x2000].map((offset) => ({ offset, length: 0x1000 }));
    const dmabuf = r.dut.exportDmaBuf({ region: 2, ranges });
    undo.push(() => dmabuf.put());
    const fd = device.exportDmaBufFd({ region: 0, ranges });
    undo.push(() => table.close(fd));
    for (const importer of [r.near, r.far]) {
      const session = Session.attach(dmabuf, importer);
      undo.push(() => session.end());
      session.map();
    }
    r.dut.flr();
  } finally {
    for (const step of undo.toReversed()) step();
  }
}

test('whichever allocation fails, all is undone', () => {
  using r = rig();
  let n = 1;
  for (; ; n++) {
    const { count } = r.machine.faults;
    r.machine.faults.failNth(n);
    try {
      useEverything(r);
    } catch (error) {
      if (!isKernelError(error, 'ENOMEM')) throw error;
    } finally {
      r.machine.faults.off();
    }
    expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [] });
    if (r.machine.faults.count === count) break;
  }
  expect(n).toBeGreaterThan(15);
});
