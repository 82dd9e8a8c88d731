export { Attachment } from './attachment.ts';
export { bufinfo } from './bufinfo.ts';
export { attachmentOf, DmaBuf } from './dma-buf.ts';
export {
  defineExporter,
  defineImporter,
  type Driver,
  type Exporter,
  type ExporterOps,
  type Importer,
  type ImporterOps,
} from './drivers.ts';
export { type ExportInfo } from './internal/export.ts';
export { type MmapRequest } from './internal/mmap.ts';
export { DEFAULT_REVOKE_BOUND_MS } from './internal/state.ts';
export { DMA_BUF_EVENTS, type DmaBufEvent } from './internal/trace.ts';
export { dmaBufs } from './iterate.ts';
export { type KernelMapping } from './kernel-mapping.ts';
export { ModuleOwner } from './module-owner.ts';
export { registerDrivers } from './register-drivers.ts';
export { REVOCABLE_FIELDS, RevocableExport, type RevocableFields, type RevokeSteps, setRevokeBound } from './revoke.ts';
export { type DmaBufRule } from './rules.ts';
export { SyncFlags } from './sync-flags.ts';
export { DmaBufTraceText } from './trace-text.ts';
