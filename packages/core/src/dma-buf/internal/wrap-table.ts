import { KernelError } from '@dmabuf-emu/shm';
import { SgTable } from '../../sg/sg-table.ts';
import { SgTableStruct as T } from '../../sg/sg-table-struct.ts';

/**
 * A copy of the DMA entries for the importer, so that whatever it does to them stays with it. @kernel dma_buf_wrap_sg_table
 * @throws KernelError EINVAL for a table without entries, ENOMEM.
 */
export function wrapTable(original: SgTable): SgTable {
  const { machine } = original;
  const { nents } = original;
  if (nents === 0)
    throw new KernelError('EINVAL', 'dma_buf_wrap_sg_table', 'a table without entries cannot be wrapped');
  const copy = SgTable.alloc(machine, nents, 'dma_buf_wrap_sg_table');
  for (let i = 0; i < nents; i++) copy.setEntry(i, original.address(i), original.length(i));
  T.original.set(machine.mem, machine.slab(T).at(copy.ref), original.ref);
  return copy;
}

/** The exporter's table behind what the importer was given; a wrapper is freed. @kernel dma_buf_unwrap_sg_table */
export function unwrapTable(table: SgTable): SgTable {
  const { machine } = table;
  const original = T.original.get(machine.mem, machine.slab(T).at(table.ref));
  if (original === 0) return table;
  table.free('dma_buf_unwrap_sg_table');
  return new SgTable(machine, original);
}
