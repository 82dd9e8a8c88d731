import type { Machine } from '@dmabuf-emu/shm';
import type { DeviceTlb } from '../iommu/ats/device-tlb.ts';
import type { PageFaultGroup, PageResponse } from '../iommu/pri/page-fault-handler.ts';
import type { FaultRing } from '../iommu/faults/fault-ring.ts';
import type { IommuDomain } from '../iommu/iommu-domain.ts';
import type { InterruptController } from '../interrupts/index.ts';
import type { PatternTable } from '../memory/pattern.ts';
import type { PhysicalMemory } from '../memory/physical-memory.ts';
import type { Topology, TopologyFunction } from '../topology/index.ts';
import type { FaultLog } from './fault-log.ts';
import type { GrantTable } from './grants/grant-table.ts';
import type { PacketHeader } from './packet-header.ts';
import type { Router } from './routing/index.ts';

/**
 * How an access reached its target: below a common bridge, untranslated through the root complex, translated, or translated by
 * the requester and then below a common bridge.
 */
export type Route = 'bus' | 'direct' | 'iommu' | 'peer';

/** What a DMA port needs of the machine around it. */
export interface DmaBus {
  readonly machine: Machine;
  readonly topology: Topology;
  readonly memory: PhysicalMemory;
  readonly router: Router;
  readonly faults: FaultLog;
  readonly grants: GrantTable;
  readonly patterns: PatternTable;
  /** Where writes of interrupt messages go. */
  readonly interrupts: InterruptController;
  /** Whether accesses are checked for what hardware would let pass: stale translations, revoked mappings, free RAM. */
  readonly checks: boolean;
  /** Bits of `Access` of a function at this moment. */
  accessOf(fn: TopologyFunction): number;
  /** The domain that a function is attached to at this moment. */
  domainOf(fn: TopologyFunction): IommuDomain;
  /** What a function caches of translations; `null` while ATS is off. */
  deviceTlbOf(fn: TopologyFunction): DeviceTlb | null;
  /** A function asks for pages; `null` when it does not do that. */
  requestPages(fn: TopologyFunction, group: PageFaultGroup): PageResponse | null;
  /** The fault recording registers of the IOMMU that a function is behind. */
  faultRingOf(fn: TopologyFunction): FaultRing;
  /** The domain that lets nothing pass. */
  blockedDomain(): IommuDomain;
  /** 32 bits of a function's PCI Express capability, by offset in it; 0 without one. */
  expressRegister(fn: TopologyFunction, offset: number): number;
  /** Whether the root complex takes addresses that a function translated by itself. */
  trustsTranslated(fn: TopologyFunction): boolean;
  /** Notes an uncorrectable error in a function's AER registers, and the packet that it is about. */
  reportError(fn: TopologyFunction, bits: number, packet?: PacketHeader): void;
}
