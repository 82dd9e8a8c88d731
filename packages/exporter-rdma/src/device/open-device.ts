import { KernelError } from '@dmabuf-emu/shm';
import type { RdmaCore } from './rdma-core.ts';
import { RdmaStruct as R } from './rdma-struct.ts';

/** An open device, as its opener and other threads hold it. */
export class OpenDevice {
  readonly core: RdmaCore;
  readonly session: number;

  constructor(core: RdmaCore, session: number) {
    this.core = core;
    this.session = session;
  }

  get isOpen(): boolean {
    return this.core.session === this.session;
  }

  /** @throws KernelError EBADF once the device was closed, EIO once its driver was removed @kernel ib_uverbs_ioctl */
  check(call: string): void {
    if (this.isOpen) return;
    const { core, session } = this;
    const removed = R.removedSession.load(core.machine.mem, core.p) >= session;
    throw new KernelError(
      removed ? 'EIO' : 'EBADF',
      call,
      `RDMA device ${core.fn.bdf} ${removed ? 'lost its driver' : 'was closed'}`,
    );
  }
}
