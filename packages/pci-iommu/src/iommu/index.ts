export { DeviceTlb } from './ats/device-tlb.ts';
export { DEFAULT_IOTLB, type DomainOptions, type IotlbShape } from './domain-lifetime.ts';
export { DOMAIN_TYPES, type DomainType } from './domain-struct.ts';
export { type Aperture, DomainGeometry, type GeometryOptions, IOVA_APERTURE_END } from './domain-geometry.ts';
export { FlushQueue, type FlushQueueKind, installFlushTimer } from './flush-queue.ts';
export { type DirtyRange, type DomainMapping, IommuDomain } from './iommu-domain.ts';
export type { Iotlb, IotlbStats } from './iotlb.ts';
export { IotlbGather } from './iotlb-gather.ts';
export type { IovaOptions, IovaSpace, ReservedRange } from './iova-space.ts';
export { installTrimTimers } from './iova-trim.ts';
export { DEFAULT_PGSIZES } from './page-sizes.ts';
export { IommuProt } from './prot.ts';
export { IOMMU_QUIRKS } from './quirks.ts';
export {
  DMA_MAPPING_ERROR,
  type DmaAttributes,
  type DmaDevice,
  dmaLimit,
  dmaMappingError,
  physToDma,
} from './dma-device.ts';
export { dmaMapPhys, dmaUnmapPhys } from './dma-map-phys.ts';
export { dmaSetCoherentMask, dmaSetMask, dmaSetMaskAndCoherent, type MaskedDevice } from './dma-set-mask.ts';
export {
  dmaInfoToProt,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  type DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaUseIova,
} from './dma-iommu.ts';
export { FunctionPri } from './pri/function-pri.ts';
export {
  installPageFaultHandler,
  type PageFaultGroup,
  type PageFaultHandler,
  type PageResponse,
} from './pri/page-fault-handler.ts';
export { PAGE_REQUEST_RECORDS, PageRequestQueue } from './pri/page-request-queue.ts';
export { installFaultHandler, type IommuFault, type IommuFaultHandler } from './faults/fault-handler.ts';
export {
  FAULT_REGISTERS,
  FaultRing,
  HARDWARE_FAULTS,
  type HardwareFault,
  type HardwareFaultRecord,
} from './faults/fault-ring.ts';
