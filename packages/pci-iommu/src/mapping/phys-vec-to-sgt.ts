import { type Attachment, type DmaDirection, SgTable } from '@dmabuf-emu/core';
import { KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import {
  type DmaDevice,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  type DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaMappingError,
  dmaMapPhys,
  dmaUnmapPhys,
  dmaUseIova,
} from '../iommu/index.ts';
import { P2pMapType, p2pMapTypeName, type P2pProvider } from '../p2pdma/index.ts';
import type { PciFunction } from '../system/pci-function.ts';
import { PciSystem } from '../system/pci-system.ts';
import { HOLDER_WORD, HolderStruct } from './holder.ts';
import { mappingQuirk } from './quirks.ts';
import { SgFiller } from './sg-filler.ts';

const SITE = 'dma_buf_phys_vec_to_sgt';
const MMIO = { mmio: true } as const;

/** A range of physical addresses. @kernel struct phys_vec */
export interface PhysVec {
  readonly paddr: number;
  readonly len: number;
}

/** One call on its way. */
interface Job {
  readonly attachment: Attachment;
  readonly provider: P2pProvider;
  readonly ranges: readonly PhysVec[];
  readonly size: number;
  readonly direction: DmaDirection;
  readonly system: PciSystem;
  readonly client: PciFunction;
  readonly filler: SgFiller;
  /** Allocated for mappings through the host bridge. */
  readonly state: DmaIovaState | null;
}

/**
 * Maps ranges of a provider's BAR for the device of an attachment, without pages behind them: an exporter's `map`.
 *
 * Below a common bridge the entries are bus addresses. Through the host bridge they are one contiguous range of IOVAs, or,
 * where the device does not translate, one DMA mapping per range. The table has no CPU side: `origNents` is 0.
 *
 * Not checked, as in the kernel: alignment and sum of the ranges, whether they are inside the BAR, whether the buffer is
 * revoked. Word 3 of the table's private words is used.
 *
 * @param provider - of the exporting BAR; see `PciSystem.p2p`
 * @param size - of the buffer: the ranges together
 * @kernel dma_buf_phys_vec_to_sgt
 * @locks resv of the buffer held
 * @throws KernelError EINVAL when the device cannot reach the provider, without a provider, or for no entries at all; ENOMEM;
 * what linking a range throws. Nothing stays mapped then
 */
export function physVecToSgt(
  attachment: Attachment,
  provider: P2pProvider | null,
  ranges: readonly PhysVec[],
  size: number,
  direction: DmaDirection,
): SgTable {
  const { machine, dmabuf } = attachment;
  dmabuf.resv.assertHeld(SITE);
  if (provider === null || provider === undefined) {
    machine.diag.warn(SITE, `buffer ${dmabuf.ref} is mapped without a provider`);
    throw new KernelError('EINVAL', SITE, 'no provider');
  }
  const slab = machine.slab(HolderStruct);
  const holder = slab.alloc(SITE);
  return orUndo(
    () => mapRanges(slab.at(holder), { attachment, provider, ranges, size, direction }, machine, holder),
    () => slab.free(holder, SITE),
  );
}

type Request = Pick<Job, 'attachment' | 'provider' | 'ranges' | 'size' | 'direction'>;

function mapRanges(p: number, request: Request, machine: Machine, holder: number): SgTable {
  const system = PciSystem.of(machine);
  const { attachment, provider, size } = request;
  const client = system.functionOfDevice(attachment.device);
  const mapType = system.p2p.mapType(provider.owner, client?.topology ?? null);
  if (client === null || (mapType !== P2pMapType.BUS_ADDR && mapType !== P2pMapType.THRU_HOST_BRIDGE)) {
    const name = attachment.device.name;
    throw new KernelError(
      'EINVAL',
      SITE,
      `${name} cannot reach ${provider.owner.bdf} BAR ${provider.bar.index}: ${p2pMapTypeName(mapType)}`,
    );
  }
  const state = mapType === P2pMapType.THRU_HOST_BRIDGE ? { addr: 0, size: 0 } : null;
  const job: Job = { ...request, system, client, state, filler: new SgFiller(machine) };
  if (state !== null) dmaIovaTryAlloc(client, state, 0, size);
  const sgt = orUndo(
    () => buildTable(job),
    () => {
      if (state !== null && dmaUseIova(state) && !mappingQuirk(machine, 'mapping.leakIova')) dmaIovaFree(client, state);
    },
  );
  const { mem } = machine;
  HolderStruct.sgt.set(mem, p, sgt.ref);
  HolderStruct.requester.set(mem, p, client.index);
  HolderStruct.direction.set(mem, p, request.direction);
  HolderStruct.task.set(mem, p, machine.tid);
  HolderStruct.mapType.set(mem, p, mapType);
  HolderStruct.iovaAddress.set(mem, p, state?.addr ?? 0);
  HolderStruct.iovaSize.set(mem, p, state?.size ?? 0);
  HolderStruct.size.set(mem, p, size);
  sgt.setPrivWord(HOLDER_WORD, holder);
  orUndo(
    () => HolderStruct.grants.set(mem, p, addGrants(job, sgt)),
    () => {
      unmapAll(job, sgt);
      sgt.free(SITE);
    },
  );
  for (const { paddr, len } of request.ranges) system.grants.exported.add(paddr, len);
  sgt.origNents = 0;
  return sgt;
}

/** Table and mapping. On failure, nothing is mapped; IOVAs that nothing was linked into are still allocated. */
function buildTable(job: Job): SgTable {
  const { attachment, filler, state, size, ranges } = job;
  const contiguous = state !== null && dmaUseIova(state);
  const nents = filler.count(contiguous ? [size] : ranges.map(({ len }) => len));
  if (nents === 0)
    throw new KernelError('EINVAL', SITE, `${ranges.length} ranges of ${size} bytes need no or too many entries`);
  const sgt = SgTable.alloc(attachment.machine, nents, SITE);
  orUndo(
    () => {
      sgt.origNents = nents;
      if (state === null) fillBus(job, sgt);
      else if (contiguous) fillIova(job, state, sgt);
      else fillDirect(job, sgt);
    },
    () => sgt.free(SITE),
  );
  if (filler.cursor !== nents) {
    attachment.machine.diag.warnOnce(
      SITE,
      `${filler.cursor} of ${nents} entries were filled: the ranges do not add up to ${size} bytes`,
    );
  }
  return sgt;
}

/** @kernel pci_p2pdma_bus_addr_map */
function fillBus({ provider, ranges, filler }: Job, sgt: SgTable): void {
  for (const { paddr, len } of ranges) filler.add(sgt, paddr + provider.busOffset, len);
}

/** Links all ranges one behind the other into the IOVAs of `state`. */
function fillIova(job: Job, state: DmaIovaState, sgt: SgTable): void {
  const { client, ranges, direction, size, filler } = job;
  const { machine } = client;
  const atZero = mappingQuirk(machine, 'mapping.iovaLinkOffsetZero');
  const wraps = mappingQuirk(machine, 'mapping.mappedLen32');
  let mapped = 0;
  orUndo(
    () => {
      for (const { paddr, len } of ranges) {
        dmaIovaLink(client, state, paddr, atZero ? 0 : mapped, len, direction, MMIO);
        mapped = wraps ? (mapped + len) % 2 ** 32 : mapped + len;
      }
      if (mapped !== size) machine.diag.warnOnce(SITE, `ranges of ${mapped} bytes were mapped for a buffer of ${size}`);
      dmaIovaSync(client, state, 0, mapped);
    },
    () => {
      if (mapped === 0) return;
      destroyIova(client, state, mapped);
    },
  );
  filler.add(sgt, state.addr, mapped);
}

function fillDirect(job: Job, sgt: SgTable): void {
  const { client, ranges, direction, filler } = job;
  orUndo(
    () => {
      for (const { paddr, len } of ranges) {
        const address = dmaMapPhys(client, paddr, len, direction, MMIO);
        if (dmaMappingError(address)) {
          throw new KernelError(
            'ENOMEM',
            SITE,
            `0x${paddr.toString(16)}+${len} bytes cannot be mapped for ${client.bdf}`,
          );
        }
        filler.add(sgt, address, len);
      }
    },
    () => {
      unmapDirect(job, sgt);
      if (mappingQuirk(client.machine, 'mapping.unmapUnfilled')) unmapUnfilled(client, sgt, filler.cursor);
    },
  );
}

function unmapDirect({ client, filler }: Job, sgt: SgTable): void {
  for (const { address, length } of filler.ranges(sgt, filler.cursor)) dmaUnmapPhys(client, address, length);
}

function unmapUnfilled(client: DmaDevice, sgt: SgTable, from: number): void {
  for (let i = from; i < sgt.nents; i++) if (client.iommu.isDma) client.iommu.iovaFree(sgt.address(i), 4096);
}

/** Takes every mapping of a complete table back. */
function unmapAll(job: Job, sgt: SgTable): void {
  if (job.state === null) return;
  if (dmaUseIova(job.state)) destroyIova(job.client, job.state, job.size);
  else unmapDirect(job, sgt);
}

/** @kernel dma_iova_destroy */
export function destroyIova(client: DmaDevice, state: DmaIovaState, mapped: number): void {
  const all = !mappingQuirk(client.machine, 'mapping.iovaFreeMappedLen');
  dmaIovaDestroy(client, state, mapped, all ? state.size : mapped);
}

/** One grant for each entry, linked; returns the last. */
function addGrants({ attachment, client, system }: Job, sgt: SgTable): number {
  const { dmabuf } = attachment;
  let newest = 0;
  orUndo(
    () => {
      for (let i = 0; i < sgt.nents; i++) {
        const grant = {
          requester: client.index,
          address: sgt.address(i),
          length: sgt.length(i),
          dmabuf: dmabuf.ref,
          attachment: attachment.ref,
          ino: dmabuf.ino,
          exporter: dmabuf.expName,
          importer: attachment.importerName,
        };
        if (grant.length > 0) newest = system.grants.add(grant, newest);
      }
    },
    () => system.grants.removeChain(newest),
  );
  return newest;
}
