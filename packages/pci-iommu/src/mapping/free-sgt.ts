import { type Attachment, DmaDirection, type SgTable } from '@dmabuf-emu/core';
import { isKernelError, KernelError, type Machine } from '@dmabuf-emu/shm';
import { dmaUnmapPhys } from '../iommu/index.ts';
import { P2pMapType } from '../p2pdma/index.ts';
import type { PciFunction } from '../system/pci-function.ts';
import { PciSystem } from '../system/pci-system.ts';
import { HOLDER_WORD, HolderStruct } from './holder.ts';
import { destroyIova } from './phys-vec-to-sgt.ts';
import { mappingQuirk } from './quirks.ts';
import { SgFiller } from './sg-filler.ts';

const SITE = 'dma_buf_free_sgt';
const H = HolderStruct;

/**
 * Takes a mapping of {@link physVecToSgt} back and frees its table: an exporter's `unmap`.
 *
 * @param direction - as it was mapped; another one is a WARN
 * @kernel dma_buf_free_sgt
 * @locks resv of the buffer held
 * @throws KernelError EINVAL for a table that is not of this kind, after a WARN; nothing is done then
 */
export function freeSgt(attachment: Attachment, sgt: SgTable, direction: DmaDirection): void {
  const { machine, dmabuf } = attachment;
  dmabuf.resv.assertHeld(SITE);
  const slab = machine.slab(H);
  const holder = sgt.privWord(HOLDER_WORD);
  const p = slab.tryAt(holder);
  if (p === 0 || H.sgt.get(machine.mem, p) !== sgt.ref) {
    machine.diag.warn(SITE, `table ${sgt.ref} was not made by dma_buf_phys_vec_to_sgt or is freed already`);
    throw new KernelError('EINVAL', SITE, 'not a table of dma_buf_phys_vec_to_sgt');
  }
  checkDirection(machine, p, direction);
  const system = PciSystem.of(machine);
  system.grants.removeChain(H.grants.get(machine.mem, p));
  unmapIfPossible(machine, system.functions[H.requester.get(machine.mem, p)]!, p, sgt);
  if (!mappingQuirk(machine, 'mapping.leakEntryArray')) sgt.free(SITE);
  slab.free(holder, SITE);
}

function checkDirection(machine: Machine, p: number, direction: DmaDirection): void {
  const mapped = H.direction.get(machine.mem, p);
  if (mapped === direction) return;
  const nameOf = (value: number): string =>
    Object.entries(DmaDirection).find(([, code]) => code === value)?.[0] ?? String(value);
  machine.diag.warn('dma-direction', `a mapping for ${nameOf(mapped)} is taken back as ${nameOf(direction)}`);
}

/** An unmap cannot fail. Where a task died with the IOMMU domain's lock, the translations stay: they are damage. */
function unmapIfPossible(machine: Machine, client: PciFunction, p: number, sgt: SgTable): void {
  try {
    unmap(machine, client, p, sgt);
  } catch (error) {
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    machine.diag.info('iommu-lost', `a mapping of ${client.bdf} stays in its domain: ${error.message}`);
  }
}

function unmap(machine: Machine, client: PciFunction, p: number, sgt: SgTable): void {
  const { mem } = machine;
  if (H.mapType.get(mem, p) === P2pMapType.BUS_ADDR) return;
  const state = { addr: H.iovaAddress.get(mem, p), size: H.iovaSize.get(mem, p) };
  if (state.size !== 0) {
    destroyIova(client, state, H.size.get(mem, p));
    return;
  }
  for (const { address, length } of new SgFiller(machine).ranges(sgt, sgt.nents)) dmaUnmapPhys(client, address, length);
}
