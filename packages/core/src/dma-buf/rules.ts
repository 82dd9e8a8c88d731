import type { Attachment } from './attachment.ts';
import type { DmaBuf } from './dma-buf.ts';

/** Contract rules that this room checks; a broken one is a `violation` of the machine's diagnostics under this name. */
export type DmaBufRule =
  | 'resv-not-held'
  | 'resv-held'
  | 'double-unmap'
  | 'double-unpin'
  | 'double-detach'
  | 'detach-while-mapped'
  | 'use-after-detach'
  | 'table-reused'
  | 'invalidate-threw'
  | 'fence-bound'
  | 'unmap-bound';

/** What is known of a broken rule beside the buffer. */
export interface RuleDetails {
  /** Kernel function, or step of the revoke sequence. */
  readonly step: string;
  readonly importer?: string;
  readonly attachment?: Attachment;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Records that somebody broke `rule` on `dmabuf`. */
export function violate(
  dmabuf: DmaBuf,
  rule: DmaBufRule,
  text: string,
  { step, importer, attachment, data }: RuleDetails,
): void {
  const who = importer ?? attachment?.importerName;
  dmabuf.machine.diag.violation({
    rule,
    text: `${text} (${step}, buffer ${dmabuf.label})`,
    buffer: dmabuf.label,
    step,
    ...(who === undefined ? {} : { importer: who }),
    ...(data === undefined ? {} : { data }),
  });
}
