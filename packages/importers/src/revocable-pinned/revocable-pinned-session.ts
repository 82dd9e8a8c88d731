import type { Attachment, Device, DmaBuf } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import { GatedSession, type Translations } from '../session/gated-session.ts';
import type { SessionTools } from '../session/session-tools.ts';
import type { Slice } from '../session/session.ts';
import { type RegisteredRevocableMr, RevocableMr } from './revocable-mr.ts';

/** A NIC's use of a buffer that stays pinned until it is revoked, once and for good. */
export class RevocablePinnedSession extends GatedSession {
  readonly mr: RevocableMr;

  private constructor({ mr, translations }: RegisteredRevocableMr, tools: SessionTools, slice: Slice) {
    super(mr.umem.dmabuf, mr.hw, tools.traffic(mr.hw.uid, slice), translations);
    this.mr = mr;
  }

  /** Registers a region over the whole buffer. @throws KernelError when it is refused */
  static attach(dmabuf: DmaBuf, device: Device, tools: SessionTools, slice: Slice): RevocablePinnedSession {
    const info = { device, dmabuf, offset: 0, length: dmabuf.size };
    return new RevocablePinnedSession(RevocableMr.reg(dmabuf.machine, tools.name, info), tools, slice);
  }

  get attachment(): Attachment {
    return this.mr.umem.attachment;
  }

  override get dead(): boolean {
    // The key goes first: from then on it is a matter of moments until the umem says so too.
    return super.dead || this.mr.revoked || this.mr.revokes > 0;
  }

  /** There is nothing to map again: the region was revoked a moment ago. */
  protected miss(): Translations {
    throw new KernelError('EINVAL', 'rdma', 'the memory region was revoked');
  }

  protected close(): void {
    this.mr.dereg();
  }
}
