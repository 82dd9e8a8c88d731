import { DmaBuf } from '@dmabuf-emu/core';
import { taskIsDead, type VerifyBuilder } from '@dmabuf-emu/shm';
import { FunctionStruct } from '../config-space/function-state.ts';
import { IommuDomain } from '../iommu/index.ts';
import { DomainStruct } from '../iommu/domain-struct.ts';
import { AtsStruct } from '../iommu/ats/ats-struct.ts';
import { GroupStruct } from '../iommu/pri/page-request-queue.ts';
import { TableStruct, UpperTableStruct } from '../iommu/table-store.ts';
import { IrqStruct } from '../interrupts/irq-struct.ts';
import type { PciSystem } from './pci-system.ts';

const SHOWN = 4;

/** Checks the PCI side of a quiet machine: nothing mapped, allocated or granted that nobody gave back; counters are right. */
export function verifyPci(system: PciSystem, report: VerifyBuilder): void {
  const deaths = system.machine.tasks().some((task) => task.state === 'dead');
  verifyDomains(system, report, deaths);
  verifyGrants(system, report);
  verifyMemory(system, report, deaths);
  verifyIrqs(system, report, deaths);
  verifyP2pmem(system, report, deaths);
  verifyOwners(system, report, deaths);
  verifyDeviceTlbs(system, report, deaths);
}

function verifyDeviceTlbs(system: PciSystem, report: VerifyBuilder, deaths: boolean): void {
  const { mem } = system.machine;
  const slab = system.machine.slab(AtsStruct);
  for (const tlb of slab.live()) {
    const { bdf, topology } = system.functions[AtsStruct.fn.get(mem, slab.at(tlb))]!;
    if (FunctionStruct.deviceTlb.load(mem, system.stateOf(topology)) === tlb) continue;
    found(report, deaths, 'ats', `translations kept by ${bdf} are not those that it uses`);
  }
}

function verifyIrqs({ machine, functions }: PciSystem, report: VerifyBuilder, deaths: boolean): void {
  const slab = machine.slab(IrqStruct);
  for (const irq of slab.live()) {
    report.count('pci.irqs', 1);
    const p = slab.at(irq);
    const [fn, vector] = [IrqStruct.fn.get(machine.mem, p), IrqStruct.vector.get(machine.mem, p)];
    found(report, deaths, 'irq', `vector ${vector} of ${functions[fn]!.bdf} was not given back`);
  }
}

function verifyDomains(system: PciSystem, report: VerifyBuilder, deaths: boolean): void {
  const { machine, memory } = system;
  let [pages, tables] = [0, 0];
  for (const ref of machine.slab(DomainStruct).live()) {
    const domain = new IommuDomain(machine, memory.map, ref);
    const name =
      domain.owner >= 0 ? `domain of ${system.functions[domain.owner]!.bdf}` : `${domain.type} domain ${ref}`;
    for (const error of domain.audit()) {
      if (deaths) report.damage('iommu-domain', `${name}: ${error}`);
      else report.error(`${name}: ${error}`);
    }
    pages += domain.mappedPages;
    tables += domain.tableCount;
    if (domain.type === 'unmanaged') found(report, deaths, 'iommu-domain', `${name} was not destroyed`);
    else if (domain.mappedPages > 0)
      found(report, deaths, 'iommu-mapping', `${domain.mappedPages} pages are mapped in the ${name}`);
    const live = domain.livePages;
    if (live !== 0) found(report, deaths, 'iova', `${live} pages of IOVAs of the ${name} were not given back`);
  }
  const live = [TableStruct, UpperTableStruct].flatMap((table) => [...machine.slab(table).live()]).length;
  if (live !== tables) found(report, deaths, 'iommu-table', `${live} page tables are live, the domains have ${tables}`);
  report.count('iommu.tables', tables);
  report.count('iommu.pages', pages);
  const groups = [...machine.slab(GroupStruct).live()].length;
  if (groups > 0) found(report, deaths, 'iopf', `${groups} page requests are not answered`);
}

function verifyGrants(system: PciSystem, report: VerifyBuilder): void {
  const grants = system.grants.list();
  report.count('dma.grants', grants.length);
  for (const grant of grants) {
    const text = `${grant.exporter}#${grant.ino} is still mapped by ${grant.importer} for ${system.functions[grant.requester]!.bdf} at 0x${grant.address.toString(16)}`;
    found(report, taskIsDead(system.machine, grant.task) || isLost(system, grant.dmabuf), 'dma-mapping', text);
  }
}

/** Whether a buffer is beyond use since a task died: nobody can give its mappings back. */
function isLost({ machine }: PciSystem, buffer: number): boolean {
  const dmabuf = DmaBuf.of(machine, buffer);
  return dmabuf.label !== 'gone' && dmabuf.damagedBy !== 0;
}

function verifyMemory(system: PciSystem, report: VerifyBuilder, deaths: boolean): void {
  const { ram, usage } = system.memory;
  const used = ram.usedPages;
  report.count('ram.pages', used);
  report.count('memory.backing-pages', usage.usedPages);
  if (ram.countUsed() !== used) {
    const text = `${ram.countUsed()} pages are allocated, the counter says ${used}`;
    if (deaths) report.damage('ram', text);
    else report.error(`RAM: ${text}`);
  }
  if (used === 0) return;
  const places = ram.usedAddresses(SHOWN).map((address) => `0x${address.toString(16)}`);
  found(
    report,
    deaths,
    'ram',
    `${used} pages of RAM were not freed: ${places.join(', ')}${used > SHOWN ? ', ...' : ''}`,
  );
}

function verifyOwners({ groups, owners }: PciSystem, report: VerifyBuilder, deaths: boolean): void {
  for (const { id, functions } of groups) {
    const claimed = owners.ownerOf(functions[0]!) !== 0;
    if (claimed) found(report, deaths, 'iommu-group', `IOMMU group ${id} was not given back by its owner`);
  }
}

function verifyP2pmem({ p2p, topology }: PciSystem, report: VerifyBuilder, deaths: boolean): void {
  let used = 0;
  for (const fn of topology.functions) {
    for (const chunk of p2p.memory.chunks(fn)) {
      used += chunk.used;
      const text = `${chunk.used} pages of the peer-to-peer memory of ${fn.bdf} were not freed`;
      if (chunk.used > 0) found(report, deaths, 'p2pmem', text);
    }
  }
  report.count('p2pmem.pages', used);
}

/** What a dead task may have left is damage, anything else a leak. */
function found(report: VerifyBuilder, dead: boolean, kind: string, text: string): void {
  if (dead) report.damage(kind, text);
  else report.leak(kind, text);
}
