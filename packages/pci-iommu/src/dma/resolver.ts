import { KernelError } from '@dmabuf-emu/shm';
import { Access, AerBit, EXP_DEVCTL } from '../config-space/index.ts';
import type { DeviceTlb } from '../iommu/ats/device-tlb.ts';
import type { IommuDomain } from '../iommu/iommu-domain.ts';
import type { HardwareFault } from '../iommu/faults/fault-ring.ts';
import { entryFrame } from '../iommu/table-entry.ts';
import { IommuProt } from '../iommu/prot.ts';
import { MESSAGE_BYTES, MESSAGE_WINDOW } from '../interrupts/message-window.ts';
import { barOf } from '../memory/memory-map.ts';
import type { BarRange, MemoryRegion } from '../memory/memory-region.ts';
import { PAGE_SIZE, pageNumber, pageOffset } from '../memory/page.ts';
import type { RunList } from '../memory/run-list.ts';
import type { TopologyFunction } from '../topology/index.ts';
import { atomicRefusal, mayRequestAtomics } from './atomic-way.ts';
import type { DmaBus, Route } from './dma-bus.ts';
import { type FaultKind, type FaultRecord } from './fault-record.ts';
import { MmioCheck } from './mmio-check.ts';
import { type PacketKind, payloadBytes, readRequestBytes, wholePackets } from './packet.ts';
import type { Refusal, RouteTable } from './routing/index.ts';
import { WalkState } from './walk-state.ts';

/** How often a function asks for a page that it is told to have got. */
const PAGE_REQUEST_ATTEMPTS = 8;

/**
 * Takes the addresses of one function's accesses through bridges, root complex and IOMMU to the bytes in the arena, as the
 * hardware does. What hardware answers with an error becomes a fault and ends the access there; what hardware lets pass and
 * should not have happened is noted by the checks.
 */
export class Resolver {
  /** Why the last {@link resolve} stopped early; `null` when it did not. */
  fault: FaultRecord | null = null;
  readonly #bus: DmaBus;
  readonly #fn: TopologyFunction;
  readonly #side: string;
  readonly #packet: PacketKind;
  readonly #mmio: MmioCheck;
  #write = false;
  #foreignNoted = false;
  #staleNoted = false;
  /** A checked access is under way. */
  #open = false;
  /** The domain of the access, and how often its flush queue was flushed when it began. */
  #domain: IommuDomain | null = null;
  #flushes = 0;

  /** The function whose BAR an access reached last. */
  #target: TopologyFunction | null = null;
  /** Bytes of this access that somebody watches. */
  #watched: { readonly paddr: number; readonly bytes: number } | null = null;

  #walk: WalkState | null = null;
  /** Routes of packets that are out of the ordinary. */
  #translatedTable: { readonly epoch: number; readonly value: RouteTable } | null = null;
  #table: { readonly epoch: number; readonly value: RouteTable } | null = null;

  /** @param side - which side of a copy this is: part of a name */
  constructor(bus: DmaBus, fn: TopologyFunction, side: string, packet: PacketKind) {
    this.#bus = bus;
    this.#fn = fn;
    this.#side = side;
    this.#packet = packet;
    this.#mmio = new MmioCheck(bus, fn);
  }

  /** What the access found, made when the function first does DMA in this thread. @throws KernelError ENOMEM */
  get walk(): WalkState {
    return (this.#walk ??= new WalkState(this.#bus.machine, this.#bus.memory, `${this.#fn.index}:${this.#side}`));
  }

  /** The pieces that the last {@link resolve} found. */
  get runs(): RunList {
    return this.walk.runs;
  }

  /**
   * Leaves the pieces behind `length` bytes at `address` in {@link runs}, up to the first fault, or to where so much was
   * translated that the bytes must be moved first.
   * @returns bytes resolved
   * @throws KernelError ENOMEM when the memory behind physical addresses is used up
   */
  resolve(address: number, length: number, write: boolean): number {
    const { walk } = this;
    this.fault = null;
    this.#write = write;
    this.#foreignNoted = false;
    this.#staleNoted = false;
    this.#open = this.#bus.checks;
    this.#mmio.begin(write);
    walk.clear();
    if (!this.#mayStart(address, length)) return 0;
    const routes = this.#routes();
    const end = address + length;
    for (let at = address; at < end && this.fault === null && !walk.isFull;) {
      const range = routes.find(at);
      if (range === null) at += this.#toRoot(at, Math.min(end, routes.nextAfter(at)) - at);
      else if (range.refusal !== null) this.#refuse(range.refusal, at, end - at);
      else at += this.#physical(at, at + range.offset, Math.min(end, range.end) - at, 'bus');
    }
    if (this.fault !== null && walk.runs.total > 0) this.#dropPartialPacket(address);
    this.#mmio.check();
    return walk.runs.total;
  }

  /**
   * Leaves in {@link runs} the naturally aligned bytes of an AtomicOp, which must be readable and writable; {@link fault}
   * tells why not. @throws KernelError ENOMEM, EOPNOTSUPP when the function may not request AtomicOps
   */
  resolveAtomic(address: number, bytes: 4 | 8): boolean {
    if (!mayRequestAtomics(this.#bus, this.#fn))
      throw new KernelError('EOPNOTSUPP', 'dma_atomic', `${this.#fn.bdf} may not request AtomicOps`);
    this.#target = null;
    if (this.resolve(address, bytes, false) < bytes || this.resolve(address, bytes, true) < bytes) return false;
    const refusal = atomicRefusal(this.#bus, this.#fn, this.#target, bytes);
    if (refusal === null) return true;
    this.#fail('aer-ur', address, bytes, refusal.reason);
    this.#report(refusal.by, refusal.aer);
    return false;
  }

  /** Whether a write in the message window arrives at the root complex as an interrupt; {@link fault} tells why not. */
  resolveMessage(address: number, length: number): boolean {
    this.fault = null;
    this.#write = true;
    if (!this.#mayStart(address, length)) return false;
    const range = this.#routes().find(address);
    if (range !== null) {
      if (range.refusal !== null) this.#refuse(range.refusal, address, length);
      else this.#fail('aer-ur', address, length, 'not an interrupt message');
    } else if (this.#attached().type === 'blocked') this.#fail('iommu-fault', address, length, 'blocked domain');
    else if (length !== MESSAGE_BYTES || address % MESSAGE_BYTES !== 0)
      this.#fail('aer-ur', address, length, 'not an interrupt message');
    return this.fault === null;
  }

  #mayStart(address: number, length: number): boolean {
    if ((this.#bus.accessOf(this.#fn) & Access.MASTER) === 0)
      this.#fail('aer-ur', address, length, 'bus master is off');
    else if (!(address >= 0 && address + length <= Number.MAX_SAFE_INTEGER))
      this.#fail('aer-ur', address, length, 'not an address');
    return this.fault === null;
  }

  #routes(): RouteTable {
    const { router } = this.#bus;
    const { requesterId, translated } = this.#packet;
    if (requesterId === undefined && translated !== true) return router.tableOf(this.#fn);
    const { epoch } = router;
    if (this.#table?.epoch !== epoch) this.#table = { epoch, value: router.tableFor(this.#fn, this.#packet) };
    return this.#table.value;
  }

  /** What was found of a packet that failed is not moved. */
  #dropPartialPacket(address: number): void {
    const { runs } = this.walk;
    const packetBytes = this.#packetBytes;
    if ((address + runs.total) % packetBytes !== 0) runs.truncate(wholePackets(address, runs.total, packetBytes));
  }

  /**
   * Looks again, after the bytes were moved, at what may have changed meanwhile: a mapping that went away during the access
   * should not have been in use.
   */
  recheck(): void {
    if (this.#watched !== null) {
      const { paddr, bytes } = this.#watched;
      this.#watched = null;
      this.#bus.memory.wrote(paddr, bytes);
    }
    if (this.#write) this.walk.noteWritten();
    if (!this.#open) return;
    this.#open = false;
    this.#mmio.recheck();
    if (this.#staleNoted) return;
    const changed = this.walk.firstChanged();
    if (changed >= 0 && !this.#isExcused(changed))
      this.#note('stale-iotlb-hit', changed * PAGE_SIZE, PAGE_SIZE, 'unmapped during the access');
  }

  /** At the root complex: what is not for the interrupt controllers goes on. Returns bytes resolved. */
  #toRoot(address: number, length: number): number {
    if (address > MESSAGE_WINDOW.end || address + length <= MESSAGE_WINDOW.start)
      return this.#throughRoot(address, length);
    if (address < MESSAGE_WINDOW.start) return this.#throughRoot(address, MESSAGE_WINDOW.start - address);
    return this.#fail('aer-ur', address, length, 'not an interrupt message');
  }

  /** The domain of whoever the packet says it comes from. */
  #attached(): IommuDomain {
    const { requesterId } = this.#packet;
    const fn = requesterId === undefined ? this.#fn : this.#bus.topology.byRequesterId(this.#fn.domain, requesterId);
    return fn === undefined ? this.#bus.blockedDomain() : this.#bus.domainOf(fn);
  }

  /** From the root complex on: through the requester's domain. Returns bytes resolved. */
  #throughRoot(address: number, length: number): number {
    const domain = this.#attached();
    if (this.#packet.translated === true && domain.type !== 'identity') {
      if (this.#bus.trustsTranslated(this.#fn)) return this.#physical(address, address, length, 'direct');
      return this.#refusedByIommu(domain, 'translated', address, length, 'translated request of a device without ATS');
    }
    const tlb = this.#packet.requesterId === undefined && domain.isPaging ? this.#bus.deviceTlbOf(this.#fn) : null;
    if (tlb !== null) return this.#selfTranslated(tlb, domain, address, length);
    switch (domain.type) {
      case 'blocked':
        return this.#refusedByIommu(domain, 'context', address, length, 'blocked domain');
      case 'identity':
        return this.#physical(address, address, length, 'direct');
      case 'dma':
      case 'dma-fq':
      case 'unmanaged':
        return this.#translated(domain, address, length);
    }
  }

  /** Through the function's own translations, a page each: with them it makes translated requests. Returns bytes resolved. */
  #selfTranslated(tlb: DeviceTlb, domain: IommuDomain, address: number, length: number): number {
    const { walk } = this;
    const need = this.#write ? IommuProt.WRITE : IommuProt.READ;
    this.#domain = domain;
    this.#flushes = domain.flushQueue === null ? 0 : domain.flushQueue.flushes;
    walk.begin(domain, pageNumber(address));
    let done = 0;
    while (done < length && !walk.isFull) {
      const at = address + done;
      const bytes = Math.min(length - done, PAGE_SIZE - pageOffset(at));
      walk.entry = tlb.translate(domain, pageNumber(at), this.#bus.checks);
      if (tlb.stale) this.#noteStale(pageNumber(at), 'in the cache of the device, not in the page table any more');
      if ((walk.entry & need) === 0 && !this.#obtainPages(tlb, domain, need, at, length - done)) break;
      const moved = this.#selfTranslatedPage(walk.entry, need, at, bytes, length - done);
      done += moved;
      if (moved < bytes) break;
      walk.accept();
    }
    return done;
  }

  /**
   * The function asks for what is missing, and again as long as it is told that all is well. False: it was refused. True and
   * still no entry: it does not ask, or in vain.
   */
  #obtainPages(tlb: DeviceTlb, domain: IommuDomain, need: number, address: number, length: number): boolean {
    const page = pageNumber(address);
    const pages = pageNumber(address + length - 1) - page + 1;
    const group = { domain: domain.ref, fn: this.#fn.index, iova: page * PAGE_SIZE, pages, write: this.#write };
    for (let attempt = 0; attempt < PAGE_REQUEST_ATTEMPTS && (this.walk.entry & need) === 0; attempt++) {
      const response = this.#bus.requestPages(this.#fn, group);
      if (response === null) return true;
      if (response !== 'success') {
        this.#fail(
          'iommu-fault',
          address,
          length,
          response === 'invalid' ? 'page request: invalid' : 'page request: failure',
        );
        return false;
      }
      // What it knew may have had less permission than what is there now.
      tlb.forget(page, page + pages);
      this.walk.entry = tlb.translate(domain, page, false);
    }
    return true;
  }

  /** A translated request for part of a page: it may turn to a neighbour where it finds one. Returns bytes resolved. */
  #selfTranslatedPage(entry: number, need: number, address: number, bytes: number, length: number): number {
    if ((entry & need) === 0) return this.#pageBehind(entry, need, address, bytes, length);
    const paddr = this.#bus.memory.map.paddrOf(entryFrame(entry)) + pageOffset(address);
    const { router } = this.#bus;
    const { epoch } = router;
    if (this.#translatedTable?.epoch !== epoch)
      this.#translatedTable = { epoch, value: router.tableFor(this.#fn, { translated: true }) };
    const range = this.#translatedTable.value.find(paddr);
    if (range === null) return this.#pageBehind(entry, need, address, bytes, length);
    if (range.refusal === null) return this.#physical(address, paddr + range.offset, bytes, 'peer');
    this.#refuse(range.refusal, address, length);
    return 0;
  }

  /** Through the IOMMU: in one go as far as all is plain, else page by page. Returns bytes resolved. */
  #translated(domain: IommuDomain, address: number, length: number): number {
    const { checks } = this.#bus;
    const { walk } = this;
    this.#domain = domain;
    this.#flushes = domain.flushQueue === null ? 0 : domain.flushQueue.flushes;
    const need = this.#write ? IommuProt.WRITE : IommuProt.READ;
    walk.begin(domain, pageNumber(address));
    let done = 0;
    while (!walk.isFull) {
      const page = pageNumber(address + done);
      const offset = address + done - page * PAGE_SIZE;
      const owned = checks && this.#write && !this.#foreignNoted;
      done += walk.walk(domain, page, offset, length - done, need, checks, owned);
      if (walk.stalePage >= 0) this.#noteStale(walk.stalePage);
      if (done === length) break;
      if (!walk.stopped) continue;
      const bytes = Math.min(length - done, PAGE_SIZE - pageOffset(address + done));
      const moved = this.#pageBehind(walk.entry, need, address + done, bytes, length - done);
      done += moved;
      if (moved < bytes) break;
      walk.accept();
      if (done === length) break;
    }
    return done;
  }

  /** `bytes` bytes of a page with this entry. Returns bytes resolved. */
  #pageBehind(entry: number, need: number, address: number, bytes: number, length: number): number {
    if ((entry & need) === 0) {
      const reason = entry === 0 ? 'not mapped' : 'permission';
      return this.#refusedByIommu(this.#domain!, this.#write ? 'write' : 'read', address, length, reason);
    }
    const { memory, checks } = this.#bus;
    const { walk } = this;
    const frame = entryFrame(entry);
    const region = memory.map.regionOfFrame(frame)!;
    const offset = pageOffset(address);
    if (region.kind !== 'ram') {
      const paddr = region.start + (frame - region.frame) * PAGE_SIZE + offset;
      return this.#inRegion(region, address, paddr, bytes, 'iommu');
    }
    if (this.#write && checks) this.#checkFrame(region, frame, address, bytes);
    memory.resolveFrames(walk.runs, frame, offset, bytes, this.#write);
    walk.expect(region);
    return bytes;
  }

  /** The IOMMU notes what it does not let pass, and the domain's owner hears of it. */
  #refusedByIommu(domain: IommuDomain, fault: HardwareFault, address: number, length: number, reason: string): 0 {
    this.#fail('iommu-fault', address, length, reason);
    const requesterId = this.#packet.requesterId ?? this.#fn.requesterId;
    const page = pageNumber(address) * PAGE_SIZE;
    this.#bus.faultRingOf(this.#fn).record({ requesterId, address: page, write: this.#write, fault });
    domain.reportFault(this.#fn.index, address, this.#write);
    return 0;
  }

  /** Bytes at a physical address, whatever is there. Returns bytes resolved. */
  #physical(address: number, paddr: number, length: number, route: Route): number {
    let done = 0;
    while (done < length) {
      const region = this.#bus.memory.map.regionAt(paddr + done);
      if (region === null) {
        this.#abort(address + done, length - done, 'nothing at this physical address');
        break;
      }
      const bytes = Math.min(length - done, region.end - (paddr + done));
      const moved = this.#inRegion(region, address + done, paddr + done, bytes, route);
      done += moved;
      if (moved < bytes) break;
    }
    return done;
  }

  #inRegion(region: MemoryRegion, address: number, paddr: number, length: number, route: Route): number {
    if (region.kind === 'ram') {
      if (this.#write && this.#bus.checks) this.#checkRam(region, address, paddr, length);
      this.#bus.memory.resolveIn(region, this.walk.runs, paddr, length, this.#write);
      return length;
    }
    let done = 0;
    while (done < length) {
      const bar = barOf(region, paddr + done);
      if (bar === null) {
        this.#abort(address + done, length - done, 'no BAR at this physical address');
        break;
      }
      const bytes = Math.min(length - done, bar.end - (paddr + done));
      if (route !== 'bus' && route !== 'peer' && !this.#isReached(bar, paddr + done)) {
        this.#fail('aer-ur', address + done, length - done, 'outside the windows of the bridges above', bar);
        this.#report(this.#bus.topology.pathToRoot(bar.fn).at(-1)!, AerBit.UNSUPPORTED_REQUEST);
        break;
      }
      if (!this.#answers(bar, address + done, length - done)) break;
      this.#target = bar.fn;
      if (this.#write && this.#bus.memory.isWatched(paddr + done, bytes))
        this.#watched = { paddr: paddr + done, bytes };
      if (this.#bus.checks && bar.fn !== this.#fn) this.#mmio.add(bar, address + done, paddr + done, bytes, route);
      this.#bus.memory.resolveIn(region, this.walk.runs, paddr + done, bytes, this.#write);
      done += bytes;
    }
    return done;
  }

  /** A port on the way does not let the packet through. */
  #refuse({ by, kind, reason }: Refusal, address: number, length: number): void {
    this.#fail(kind, address, length, reason);
    this.#report(by, kind === 'aer-ur' ? AerBit.UNSUPPORTED_REQUEST : AerBit.ACS_VIOLATION);
  }

  /** The root complex finds nobody who decodes an address; the root port that gave it the packet notes that. */
  #abort(address: number, length: number, reason: string): void {
    this.#fail('aer-ur', address, length, reason);
    this.#report(this.#bus.topology.pathToRoot(this.#fn).at(-1)!, AerBit.UNSUPPORTED_REQUEST);
  }

  /** A function notes an error, with the packet that {@link fault} is about. */
  #report(by: TopologyFunction, aer: number): void {
    const { address, length, write } = this.fault!;
    const packetBytes = this.#packetBytes;
    const requesterId = this.#packet.requesterId ?? this.#fn.requesterId;
    const inPacket = Math.min(length, packetBytes - (address % packetBytes));
    this.#bus.reportError(by, aer, { write, requesterId, address, length: inPacket });
  }

  get #packetBytes(): number {
    const control = this.#bus.expressRegister(this.#fn, EXP_DEVCTL);
    return this.#write ? payloadBytes(control) : readRequestBytes(control);
  }

  /** Whether the bridges above a BAR let through what comes from the root complex. */
  #isReached({ fn }: BarRange, paddr: number): boolean {
    const gate = this.#bus.router.gateTo(fn);
    if (gate.open) return true;
    const at = this.#bus.topology.busAddress(fn.hostBridge, paddr);
    return gate.spans.some(({ start, end }) => at >= start && at < end);
  }

  /** Whether the function behind a BAR takes part at the moment. */
  #answers(bar: BarRange, address: number, length: number): boolean {
    const { fn } = bar;
    let access = this.#bus.accessOf(fn);
    if (fn.physfn !== null) {
      const owner = this.#bus.accessOf(fn.physfn);
      access |= owner & (Access.IN_RESET | Access.REMOVED);
      if ((owner & Access.LOW_POWER) !== 0) access &= ~Access.DECODE;
    }
    if ((access & (Access.IN_RESET | Access.REMOVED)) !== 0) {
      const reason = (access & Access.REMOVED) !== 0 ? 'target is gone' : 'target is in reset';
      this.#fail('aer-cto', address, length, reason, bar);
      if (!this.#write) this.#report(this.#fn, AerBit.COMPLETION_TIMEOUT);
      return false;
    }
    if ((access & Access.DECODE) !== 0 && (access & (Access.BAR_0 << bar.bar)) !== 0) return true;
    const reason = (access & Access.DECODE) !== 0 ? 'BAR was moved' : 'target does not decode memory';
    this.#fail('aer-ur', address, length, reason, bar);
    this.#report(fn, AerBit.UNSUPPORTED_REQUEST);
    return false;
  }

  #checkFrame(region: MemoryRegion, frame: number, address: number, length: number): void {
    if (this.#foreignNoted || this.#bus.memory.ram.isFrameAllocated(region, frame)) return;
    this.#foreignNoted = true;
    this.#note('foreign-write', address, length, 'RAM that is not allocated');
  }

  #checkRam(region: MemoryRegion, address: number, paddr: number, length: number): void {
    if (this.#foreignNoted || this.#bus.memory.ram.isAllocatedIn(region, paddr, length)) return;
    this.#foreignNoted = true;
    this.#note('foreign-write', address, length, 'RAM that is not allocated');
  }

  #noteStale(page: number, reason = 'not in the page table any more'): void {
    if (this.#staleNoted || this.#isExcused(page)) return;
    this.#staleNoted = true;
    this.#note('stale-iotlb-hit', page * PAGE_SIZE, PAGE_SIZE, reason);
  }

  /** Whether a translation may be out of date because the domain puts its invalidations off. */
  #isExcused(page: number): boolean {
    return this.#domain?.flushQueue?.excuses(page * PAGE_SIZE, this.#flushes) === true;
  }

  #note(kind: FaultKind, address: number, length: number, reason: string): void {
    const { faults } = this.#bus;
    const grant = this.#mmio.blame(address, length);
    faults.record({
      kind,
      requester: this.#fn.index,
      address,
      length,
      write: this.#write,
      reason,
      ...(grant === undefined ? {} : { grant }),
    });
  }

  #fail(kind: FaultKind, address: number, length: number, reason: string, bar?: BarRange): 0 {
    const grant = this.#mmio.blame(address, length);
    this.fault = this.#bus.faults.record({
      kind,
      requester: this.#fn.index,
      address,
      length,
      write: this.#write,
      reason,
      ...(bar === undefined ? {} : { target: bar.fn.index, bar: bar.bar }),
      ...(grant === undefined ? {} : { grant }),
    });
    return 0;
  }
}
