import { KernelError } from '@dmabuf-emu/shm';
import type { VfioCore } from './vfio-core.ts';

/** An open device, as its opener and other threads hold it: good until the device is closed. */
export class OpenDevice {
  readonly core: VfioCore;
  readonly session: number;

  constructor(core: VfioCore, session: number) {
    this.core = core;
    this.session = session;
  }

  get isOpen(): boolean {
    return this.core.session === this.session;
  }

  /** @throws KernelError EBADF once the device was closed, whoever opened it again */
  check(call: string): void {
    if (!this.isOpen) throw new KernelError('EBADF', call, `VFIO device ${this.core.fn.bdf} was closed`);
  }

  /**
   * Runs `fn` with memory_lock held for writing and the device open.
   * @param zap - CPU mappings go first @kernel vfio_pci_zap_and_down_write_memory_lock
   * @throws KernelError EBADF when the device was closed meanwhile, EOWNERDEAD when a task died with the lock
   */
  writeLocked<T>(zap: boolean, fn: () => T): T {
    return this.core.memoryLock.write(() => {
      this.check('vfio_pci_memory_lock');
      if (zap) this.core.trace('vfio_zap');
      return fn();
    });
  }
}
