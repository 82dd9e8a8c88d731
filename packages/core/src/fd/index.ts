export { DEFAULT_FD_LIMIT, FdTable, MAX_FD_LIMIT, type FdEntry } from './fd-table.ts';
export { File, type FileInfo } from './file.ts';
export { type FileOps } from './file-ops.ts';
export { OpenFlags, Seek } from './open-flags.ts';
export { noteFileHolder } from './internal/file-holders.ts';
export { registerFileOps } from './register-file-ops.ts';
export * from './poll/index.ts';
export { BusError, PAGE_BYTES, VmArea, type VmAreaInfo, type VmFlag, type VmOps } from './vm-area.ts';
