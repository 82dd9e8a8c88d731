export { AtomicOps } from './atomic-ops.ts';
export type { DmaBus } from './dma-bus.ts';
export { type Difference, DmaPort } from './dma-port.ts';
export { FaultLog } from './fault-log.ts';
export {
  DmaFault,
  FAULT_KINDS,
  type FaultGrant,
  type FaultInfo,
  type FaultKind,
  type FaultRecord,
} from './fault-record.ts';
export * from './grants/index.ts';
export { type PacketKind, payloadBytes, readRequestBytes } from './packet.ts';
export { headerWords, type PacketHeader } from './packet-header.ts';
export { PostedWrites } from './posted-writes.ts';
export * from './routing/index.ts';
export { ScatterGather, type SgEntry, type SgProgress } from './scatter-gather.ts';
