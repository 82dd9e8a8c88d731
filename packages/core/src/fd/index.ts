export { DEFAULT_FD_LIMIT, FdTable, MAX_FD_LIMIT, type FdEntry } from './fd-table.ts';
export { File, type FileInfo } from './file.ts';
export { type FileOps } from './file-ops.ts';
export { OpenFlags, Seek } from './open-flags.ts';
export { registerFileOps } from './register-file-ops.ts';
