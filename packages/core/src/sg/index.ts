export { DmaDirection } from './dma-direction.ts';
export { SgTable, type SgEntry } from './sg-table.ts';
