import { DmaBuf, FdTable, OpenFlags } from '@dmabuf-emu/core';
import { DrmFile, type DrmDriverName, type DrmOpen } from '@dmabuf-emu/exporter-heap';
import { isKernelError } from '@dmabuf-emu/shm';
import { rig, type Rig, type RigOptions } from '../testing/rig.fixture.ts';

/** A {@link Rig} with DRM devices, which are open in its process; all descriptors are closed when the test ends. */
export interface DrmRig extends Rig {
  readonly fds: FdTable;
  open(driver?: DrmDriverName, options?: DrmOpen): DrmFile;
  close(drm: DrmFile): void;
  /** References to the buffer behind a descriptor, as its fdinfo tells them. */
  count(fd: number): number;
  /** Whether two descriptors are of one file. */
  same(a: number, b: number): boolean;
}

export const BOTH: number = OpenFlags.RDWR | OpenFlags.CLOEXEC;

export function drmRig(options: RigOptions = {}): DrmRig {
  const base = rig(options);
  const { machine } = base;
  const fds = FdTable.current(machine);
  return {
    machine,
    pci: base.pci,
    nic: base.nic,
    get usedPages() {
      return base.usedPages;
    },
    fds,
    open(driver = 'vgem', how = {}) {
      const drm = DrmFile.open(machine, driver, how);
      fds.install(drm.file);
      return drm;
    },
    close(drm) {
      fds.close(fds.entries().find(({ file }) => file.ref === drm.file.ref)!.fd);
    },
    count: (fd) => Number(/count:\t(\d+)/.exec(fds.fdinfo(fd).join('\n'))![1]),
    same: (a, b) => {
      const [x, y] = [DmaBuf.get(machine, a), DmaBuf.get(machine, b)];
      const same = x.ref === y.ref;
      x.put();
      y.put();
      return same;
    },
    [Symbol.dispose]: () => {
      for (const { fd } of fds.entries()) fds.close(fd);
      base[Symbol.dispose]();
    },
  };
}

/** What `fn` returns, or the code of the error that it throws. */
export function answer<T>(fn: () => T): T | string {
  try {
    return fn();
  } catch (error) {
    if (isKernelError(error)) return error.code;
    throw error;
  }
}

/** A dumb buffer of one page. */
export const SMALL = { width: 64, height: 16, bpp: 32 } as const;
