export type { DmaBus } from './dma-bus.ts';
export { DmaPort } from './dma-port.ts';
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
export * from './routing/index.ts';
