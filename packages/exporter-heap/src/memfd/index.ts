export { prepareMemfds } from './file-ops.ts';
export { Falloc, MemfdFlags, Seal } from './flags.ts';
export { Memfd } from './memfd.ts';
