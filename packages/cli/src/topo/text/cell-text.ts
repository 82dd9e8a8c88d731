import type { P2pExplanation } from '@dmabuf-emu/pci-iommu';

/** Answers in a cell of a table. */
export const SHORT: Readonly<Record<P2pExplanation['type'], string>> = {
  BUS_ADDR: 'BUS',
  THRU_HOST_BRIDGE: 'HB',
  NOT_SUPPORTED: '--',
  UNKNOWN: '??',
};

/** Answers in words. */
export const MEANING: Readonly<Record<P2pExplanation['type'], string>> = {
  BUS_ADDR: 'by bus address, below a common bridge',
  THRU_HOST_BRIDGE: 'through the host bridge',
  NOT_SUPPORTED: 'not supported',
  UNKNOWN: 'the source does not tell what decides',
};

/** `BUS 4`, `HB 6`, `-- 6`, `?? 4` */
export function cellText({ type, distance }: P2pExplanation): string {
  return `${SHORT[type]} ${distance}`;
}
