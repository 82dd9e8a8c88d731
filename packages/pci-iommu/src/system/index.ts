export { DmaOwnership, type OwnershipContext } from './dma-ownership.ts';
export type { PciConfig, PciOptions } from './options.ts';
export { P2pState } from './p2p-state.ts';
export { type Bar, PciFunction } from './pci-function.ts';
export { PciSystem } from './pci-system.ts';
export { iommuReservedRegions, type ReservedRegion } from './reserved-regions.ts';
