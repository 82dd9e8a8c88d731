import { kmemSlab, type Machine, orUndo } from '@dmabuf-emu/shm';
import { AtsStruct } from './ats-struct.ts';
import { DomainStruct } from '../domain-struct.ts';
import { highBits, lowBits } from '../table-entry.ts';
import type { IommuDomain } from '../iommu-domain.ts';
import { initIotlb, Iotlb, type IotlbStats, iotlbWords } from '../iotlb.ts';

const SETS = 32;
const WAYS = 4;
/** How often an invalidation is sent again to a device that is there and does not answer. */
const ATTEMPTS = 3;

const A = AtsStruct;

/**
 * Translations that a device keeps for itself. Accesses with them pass the IOMMU unseen, so that an invalidation is not over
 * before the device has answered.
 */
export class DeviceTlb {
  /** Whether the last {@link translate} used an entry that the page table no longer had. */
  stale = false;
  readonly #machine: Machine;
  readonly ref: number;
  readonly #p: number;
  readonly #cache: Iotlb;

  constructor(machine: Machine, made: number) {
    this.#machine = machine;
    this.ref = made;
    this.#p = machine.slab(A).at(made);
    this.#cache = new Iotlb(machine, A.tlbAt.get(machine.mem, this.#p), SETS, WAYS);
  }

  /** An empty one for function `fn`. @throws KernelError ENOMEM; nothing is left then */
  static create(machine: Machine, fn: number): number {
    const { mem } = machine;
    const words = kmemSlab(machine, iotlbWords(SETS, WAYS));
    const tlb = words.alloc('pci.ats');
    const made = orUndo(
      () => machine.slab(A).alloc('pci.ats'),
      () => words.free(tlb, 'pci.ats'),
    );
    const p = machine.slab(A).at(made);
    A.fn.set(mem, p, fn);
    A.tlb.set(mem, p, tlb);
    A.tlbAt.set(mem, p, words.at(tlb) + 1);
    initIotlb(mem, words.at(tlb) + 1, SETS, WAYS, 0);
    return made;
  }

  /** Ends it. No access may be under way. */
  destroy(): void {
    const { mem } = this.#machine;
    this.moveTo(null);
    kmemSlab(this.#machine, iotlbWords(SETS, WAYS)).free(A.tlb.get(mem, this.#p), 'pci.ats');
    this.#machine.slab(A).free(this.ref, 'pci.ats');
  }

  get stats(): IotlbStats {
    return this.#cache.stats;
  }

  /** Translations that are cached. */
  get count(): number {
    return this.#cache.count();
  }

  /** Invalidations that the device did not answer. */
  get timeouts(): number {
    return A.timeouts.load(this.#machine.mem, this.#p);
  }

  /** Lets the device leave the next `count` invalidations unanswered, or, with Infinity, all: its translations stay. */
  ignoreInvalidations(count: number): void {
    A.silent.store(this.#machine.mem, this.#p, count === Infinity ? -1 : count);
  }

  /** The device was pulled out: nothing is sent to it any more. */
  pulledOut(): void {
    A.gone.store(this.#machine.mem, this.#p, 1);
  }

  /** The function is attached to a domain: what it cached of the former one is forgotten, by the device itself. */
  moveTo(domain: IommuDomain | null): void {
    const { mem } = this.#machine;
    const source = domain?.isPaging === true ? domain.ref : 0;
    countAt(this.#machine, source, 1);
    countAt(this.#machine, A.domain.exchange(mem, this.#p, source), -1);
    this.#cache.invalidateAll();
  }

  /**
   * Entry of a page: the device's own, else that of the IOMMU, which the device asks for and keeps; 0: not mapped.
   * @param check - compare with the page table and tell by {@link stale}
   */
  translate(domain: IommuDomain, page: number, check: boolean): number {
    const { mem } = this.#machine;
    // Whoever attaches the function elsewhere meanwhile names the new domain before it empties this cache.
    const ask = (): number => (A.domain.load(mem, this.#p) === domain.ref ? domain.translate(page, false) : 0);
    const entry = this.#cache.translateBy(lowBits(page) | 0, highBits(page), ask);
    this.stale = check && domain.walk(page) !== entry;
    return entry;
  }

  /** The function drops what it knows of pages [first, end). */
  forget(first: number, end: number): void {
    this.#cache.invalidate(first, end);
  }

  /** An invalidation arrives, with pages [first, end). Returns when the device has answered, or will not. */
  invalidate(first: number, end: number): void {
    const { mem } = this.#machine;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (A.gone.load(mem, this.#p) !== 0) return;
      if (this.#answers()) {
        if (end === Infinity) this.#cache.invalidateAll();
        else this.#cache.invalidate(first, end);
        return;
      }
      A.timeouts.add(mem, this.#p, 1);
      const text = `function ${A.fn.get(mem, this.#p)} did not answer an invalidation (attempt ${attempt + 1})`;
      this.#machine.diag.warn('ats-invalidation-timeout', text);
    }
  }

  #answers(): boolean {
    const { mem } = this.#machine;
    const silent = A.silent.load(mem, this.#p);
    if (silent > 0) A.silent.sub(mem, this.#p, 1);
    return silent === 0;
  }
}

/** Counts a device's cache that is filled from a domain, if that is still there. */
function countAt(machine: Machine, domain: number, by: 1 | -1): void {
  const p = machine.slab(DomainStruct).tryAt(domain);
  if (p !== 0) DomainStruct.ats.add(machine.mem, p, by);
}

/** Invalidates pages [first, end) in the caches of all functions that are attached to a domain. @kernel cache_tag_flush_range */
export function invalidateDeviceTlbs(machine: Machine, domain: number, first: number, end: number): void {
  const slab = machine.slab(A);
  for (const made of slab.live()) {
    const p = slab.tryAt(made);
    if (p !== 0 && A.domain.load(machine.mem, p) === domain) new DeviceTlb(machine, made).invalidate(first, end);
  }
}
