import type { Attachment, Device, DmaBuf } from '@dmabuf-emu/core';
import { GatedSession, type Translations } from '../session/gated-session.ts';
import type { SessionTools } from '../session/session-tools.ts';
import type { Slice } from '../session/session.ts';
import { OdpMr, type RegisteredMr } from './odp-mr.ts';

/** A NIC's use of a buffer by a dynamic memory region: maps on page faults, whenever the exporter lets it. */
export class OdpSession extends GatedSession {
  readonly mr: OdpMr;

  protected constructor({ mr, fault }: RegisteredMr, tools: SessionTools, slice: Slice) {
    super(mr.umem.dmabuf, mr.hw, tools.traffic(mr.hw.uid, slice), fault);
    this.mr = mr;
  }

  /** Registers a region over the whole buffer. @throws KernelError when it is refused */
  static attach(dmabuf: DmaBuf, device: Device, tools: SessionTools, slice: Slice): OdpSession {
    const info = { device, dmabuf, offset: 0, length: dmabuf.size };
    return new OdpSession(OdpMr.reg(dmabuf.machine, tools.name, info), tools, slice);
  }

  get attachment(): Attachment {
    return this.mr.umem.attachment;
  }

  protected miss(): Translations {
    return this.mr.pageFault();
  }

  protected close(): void {
    this.mr.dereg();
  }
}
