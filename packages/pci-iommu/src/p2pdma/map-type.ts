/**
 * How a client must address a provider's BAR.
 *
 * `BUS_ADDR`: with the provider's bus address, below a common switch; `THRU_HOST_BRIDGE`: as a normal DMA mapping of the
 * physical address; `NOT_SUPPORTED`: not at all.
 *
 * @kernel enum pci_p2pdma_map_type
 */
export const P2pMapType = {
  /** @kernel PCI_P2PDMA_MAP_UNKNOWN */
  UNKNOWN: 0,
  /** @kernel PCI_P2PDMA_MAP_NONE */
  NONE: 1,
  /** @kernel PCI_P2PDMA_MAP_NOT_SUPPORTED */
  NOT_SUPPORTED: 2,
  /** @kernel PCI_P2PDMA_MAP_BUS_ADDR */
  BUS_ADDR: 3,
  /** @kernel PCI_P2PDMA_MAP_THRU_HOST_BRIDGE */
  THRU_HOST_BRIDGE: 4,
} as const;
export type P2pMapType = (typeof P2pMapType)[keyof typeof P2pMapType];

const NAMES = ['UNKNOWN', 'NONE', 'NOT_SUPPORTED', 'BUS_ADDR', 'THRU_HOST_BRIDGE'] as const;

/** The name of a map type, for messages. */
export function p2pMapTypeName(type: P2pMapType): keyof typeof P2pMapType {
  return NAMES[type];
}
