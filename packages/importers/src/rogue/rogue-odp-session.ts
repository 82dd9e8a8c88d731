import type { Attachment, Device, DmaBuf, Importer } from '@dmabuf-emu/core';
import { OdpMr } from '../odp/odp-mr.ts';
import { OdpSession } from '../odp/odp-session.ts';
import { Umem } from '../rdma-umem/umem.ts';
import type { SessionTools } from '../session/session-tools.ts';
import type { Slice } from '../session/session.ts';
import { BREACHES_MAX } from './breach.ts';

/** What a rogue's session is made of. */
export interface RogueParts {
  readonly dmabuf: DmaBuf;
  readonly device: Device;
  readonly tools: SessionTools;
  readonly slice: Slice;
}

/** The region behind a callback; undefined when nothing is mapped. */
export function mappedMr(attachment: Attachment): OdpMr | undefined {
  const umem = Umem.ofAttachment(attachment);
  return umem !== undefined && umem.mapped ? OdpMr.ofUmem(umem) : undefined;
}

/** A callback that does `breach` the first times it finds a mapping, and what is right from then on. */
export function breachingCallback(breach: (mr: OdpMr) => void): (attachment: Attachment) => void {
  return (attachment) => {
    const mr = mappedMr(attachment);
    if (mr === undefined) return;
    if (mr.invalidations >= BREACHES_MAX) mr.invalidate();
    else breach(mr);
  };
}

/** A NIC with a callback of its own. */
export class RogueOdpSession extends OdpSession {
  constructor({ dmabuf, device, tools, slice }: RogueParts, importer: Importer) {
    const info = { device, dmabuf, offset: 0, length: dmabuf.size };
    super(OdpMr.reg(dmabuf.machine, tools.name, info, importer), tools, slice);
  }
}
