import { orUndo } from '@dmabuf-emu/shm';
import type { Attachment, Device, DmaBuf } from '@dmabuf-emu/core';
import { HwGate } from '../hw/hw-gate.ts';
import { umemGetPinned } from '../rdma-umem/pinned-umem.ts';
import type { Umem } from '../rdma-umem/umem.ts';
import { GatedSession, type Translations } from '../session/gated-session.ts';
import type { SessionTools } from '../session/session-tools.ts';
import type { Slice } from '../session/session.ts';

/**
 * A NIC's use of a buffer that is pinned and cannot be taken back. An exporter that must be able to revoke has to refuse it.
 * @kernel ib_umem_dmabuf_get_pinned
 */
export class PinnedSession extends GatedSession {
  readonly umem: Umem;

  private constructor(umem: Umem, hw: HwGate, tools: SessionTools, slice: Slice) {
    super(umem.dmabuf, hw, tools.traffic(hw.uid, slice), { translations: hw.program(), window: umem.window() });
    this.umem = umem;
  }

  /** Pins and maps the whole buffer. @throws KernelError when it is refused */
  static attach(dmabuf: DmaBuf, device: Device, tools: SessionTools, slice: Slice): PinnedSession {
    const { machine } = dmabuf;
    const umem = umemGetPinned(machine, { device, dmabuf, offset: 0, length: dmabuf.size });
    return orUndo(
      () => new PinnedSession(umem, HwGate.alloc(machine, tools.name, dmabuf.ref), tools, slice),
      () => umem.release(),
    );
  }

  get attachment(): Attachment {
    return this.umem.attachment;
  }

  protected miss(): Translations {
    return { translations: this.hw.program(), window: this.umem.resv.with(() => this.umem.window()) };
  }

  protected close(): void {
    this.hw.zap();
    this.umem.release();
    this.hw.free();
  }
}
