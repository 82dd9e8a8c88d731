import {
  atomicAdd,
  atomicLoad,
  kmemSlab,
  type Machine,
  type Mem,
  orUndo,
  type Slab,
  spinLock,
  spinUnlock,
  syncPoint,
} from '@dmabuf-emu/shm';
import type { FaultGrant } from '../fault-record.ts';
import { ExportedRanges } from './exported-ranges.ts';
import { GRANT_INVALIDATED, GRANT_LIVE, GRANT_RETIRED, GrantStruct, RequesterStruct } from './grant-struct.ts';
import { Graveyard } from './graveyard.ts';

const G = GrantStruct;
const R = RequesterStruct;
const FIRST_ROOM = 15;

/** What a mapping gives to a device. */
export interface GrantInfo {
  /** Index of the function that may use the address. */
  readonly requester: number;
  readonly address: number;
  readonly length: number;
  readonly dmabuf: number;
  readonly attachment: number;
  readonly ino: number;
  readonly exporter: string;
  readonly importer: string;
}

/** A grant as reports show it. */
export interface GrantView extends GrantInfo {
  readonly ref: number;
  readonly task: number;
  readonly state: 'live' | 'invalidated' | 'retired';
}

/** What stands behind an address of a requester. */
export interface GrantHit {
  /** The grant, 0 when there is none. */
  readonly grant: number;
  /** Where it ends; without one, where the next grant begins. */
  readonly end: number;
  readonly retired: boolean;
}

/**
 * Every live mapping of peer memory: which device may use which DMA addresses on behalf of which dma-buf. Filled by the
 * mapping helper, asked by DMA ports in checking mode. It has no part in translating addresses: it is how the emulator
 * notices that a device uses an address that it should have forgotten.
 */
export class GrantTable {
  readonly exported: ExportedRanges;
  readonly graves: Graveyard;
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #slab: Slab;
  readonly #requesters: number;
  readonly #count: number;

  /** @param functions - number of functions of the machine */
  constructor(machine: Machine, functions: number) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#slab = machine.slab(G);
    this.#count = functions;
    this.#requesters = machine.root('pci.grants', functions * R.$words);
    this.exported = new ExportedRanges(machine);
    this.graves = new Graveyard(machine);
  }

  /**
   * Adds a grant.
   * @param next - grant of the same mapping that was added before, 0 for the first
   * @throws KernelError ENOMEM; nothing is added then
   */
  add(info: GrantInfo, next = 0): number {
    const grant = this.#slab.alloc('dma.grant');
    const p = this.#slab.at(grant);
    G.state.set(this.#mem, p, GRANT_LIVE);
    G.requester.set(this.#mem, p, info.requester);
    G.dmabuf.set(this.#mem, p, info.dmabuf);
    G.attachment.set(this.#mem, p, info.attachment);
    G.ino.set(this.#mem, p, info.ino);
    G.task.set(this.#mem, p, this.#machine.tid);
    G.exporter.set(this.#mem, p, this.#machine.intern(info.exporter));
    G.importer.set(this.#mem, p, this.#machine.intern(info.importer));
    G.next.set(this.#mem, p, next);
    G.address.set(this.#mem, p, info.address);
    G.length.set(this.#mem, p, info.length);
    orUndo(
      () => this.#change(info.requester, (at) => this.#insert(at, grant, info.address, info.length)),
      () => this.#slab.free(grant, 'dma.grant'),
    );
    return grant;
  }

  /** Removes a grant and those that {@link add} linked to it. */
  removeChain(first: number): void {
    for (let grant = first; grant !== 0;) {
      const p = this.#slab.at(grant);
      const next = G.next.get(this.#mem, p);
      this.graves.bury(p);
      this.#change(G.requester.get(this.#mem, p), (at) => this.#extract(at, grant, G.address.get(this.#mem, p)));
      this.#slab.free(grant, 'dma.grant');
      grant = next;
    }
  }

  /** An exporter begins to take a buffer back: its grants go on until {@link retire}. Returns how many there are. */
  invalidate(dmabuf: number): number {
    return this.#setStates(dmabuf, GRANT_LIVE, GRANT_INVALIDATED);
  }

  /**
   * The fences of a buffer that was taken back have signalled: what uses its old grants from now on breaks the contract.
   * Grants made since {@link invalidate} are not touched. Returns how many there are.
   */
  retire(dmabuf: number): number {
    return this.#setStates(dmabuf, GRANT_INVALIDATED, GRANT_RETIRED);
  }

  /** Number of changes to a requester's grants so far. */
  generation(requester: number): number {
    return atomicLoad(this.#mem, this.#at(requester) + R.generation.at);
  }

  /** Whether a grant that was found before still allows all of a range. */
  stillAllows(grant: number, address: number, length: number): boolean {
    const p = this.#slab.tryAt(grant);
    if (p === 0 || atomicLoad(this.#mem, p + G.state.at) >= GRANT_RETIRED) return false;
    const start = G.address.get(this.#mem, p);
    return address >= start && address + length <= start + G.length.get(this.#mem, p);
  }

  /**
   * The grant behind an address: one that is not retired if there is any, and of those the one that reaches furthest.
   */
  find(requester: number, address: number): GrantHit {
    const p = this.#at(requester);
    let best: GrantHit = { grant: 0, end: Infinity, retired: false };
    if (R.count.load(this.#mem, p) === 0) return best;
    spinLock(this.#machine, p + R.lock.at);
    const last = this.#lastAtOrBelow(p, address);
    const reach = address - R.longest.get(this.#mem, p);
    if (last + 1 < R.count.get(this.#mem, p)) best = { ...best, end: this.#addressAt(p, last + 1) };
    for (let i = last; i >= 0 && this.#addressAt(p, i) > reach; i--) {
      const grant = this.#mem.i32[R.listAt.get(this.#mem, p) + i]!;
      const at = this.#slab.at(grant);
      const end = G.address.get(this.#mem, at) + G.length.get(this.#mem, at);
      const retired = G.state.get(this.#mem, at) === GRANT_RETIRED;
      if (end <= address) continue;
      const better = best.grant === 0 || (best.retired && !retired) || (best.retired === retired && end > best.end);
      if (better) best = { grant, end, retired };
    }
    spinUnlock(this.#machine, p + R.lock.at);
    return best;
  }

  /** Names behind a grant; undefined when it is gone. */
  describe(grant: number): FaultGrant | undefined {
    const p = this.#slab.tryAt(grant);
    if (p === 0) return undefined;
    return {
      dmabuf: G.dmabuf.get(this.#mem, p),
      attachment: G.attachment.get(this.#mem, p),
      ino: G.ino.get(this.#mem, p),
      exporter: this.#machine.string(G.exporter.get(this.#mem, p)),
      importer: this.#machine.string(G.importer.get(this.#mem, p)),
    };
  }

  /** All grants. For checks on a quiet machine. */
  list(): GrantView[] {
    return [...this.#slab.live()].map((grant) => {
      const p = this.#slab.at(grant);
      const state = G.state.get(this.#mem, p);
      return {
        ref: grant,
        requester: G.requester.get(this.#mem, p),
        address: G.address.get(this.#mem, p),
        length: G.length.get(this.#mem, p),
        task: G.task.get(this.#mem, p),
        state: state === GRANT_LIVE ? 'live' : state === GRANT_INVALIDATED ? 'invalidated' : 'retired',
        ...this.describe(grant)!,
      };
    });
  }

  #setStates(dmabuf: number, from: number, to: number): number {
    let changed = 0;
    syncPoint('dma.grant-state');
    for (let requester = 0; requester < this.#count; requester++) {
      const at = this.#at(requester);
      if (R.count.load(this.#mem, at) === 0) continue;
      this.#change(requester, () => {
        for (let i = 0; i < R.count.get(this.#mem, at); i++) {
          const p = this.#slab.at(this.#mem.i32[R.listAt.get(this.#mem, at) + i]!);
          if (G.dmabuf.get(this.#mem, p) !== dmabuf || G.state.get(this.#mem, p) !== from) continue;
          G.state.store(this.#mem, p, to);
          changed++;
        }
      });
    }
    return changed;
  }

  #change(requester: number, fn: (at: number) => void): void {
    const p = this.#at(requester);
    spinLock(this.#machine, p + R.lock.at);
    orUndo(
      () => fn(p),
      () => spinUnlock(this.#machine, p + R.lock.at),
    );
    atomicAdd(this.#mem, p + R.generation.at, 1);
    spinUnlock(this.#machine, p + R.lock.at);
  }

  #insert(p: number, grant: number, address: number, length: number): void {
    const count = R.count.get(this.#mem, p);
    if (count === R.room.get(this.#mem, p)) this.#grow(p, count === 0 ? FIRST_ROOM : count * 2 + 1);
    const i = this.#lastAtOrBelow(p, address) + 1;
    const list = R.listAt.get(this.#mem, p);
    this.#mem.copy((list + i + 1) * 4, (list + i) * 4, (count - i) * 4);
    this.#mem.i32[list + i] = grant;
    R.longest.set(this.#mem, p, count === 0 ? length : Math.max(length, R.longest.get(this.#mem, p)));
    R.count.store(this.#mem, p, count + 1);
  }

  #extract(p: number, grant: number, address: number): void {
    const count = R.count.get(this.#mem, p);
    const list = R.listAt.get(this.#mem, p);
    let i = this.#lastAtOrBelow(p, address);
    while (i >= 0 && this.#mem.i32[list + i] !== grant) i--;
    if (i < 0) return;
    this.#mem.copy((list + i) * 4, (list + i + 1) * 4, (count - i - 1) * 4);
    R.count.store(this.#mem, p, count - 1);
  }

  #grow(p: number, room: number): void {
    const slab = kmemSlab(this.#machine, room);
    const slot = slab.alloc('dma.grants');
    const at = slab.at(slot) + 1;
    const old = R.list.get(this.#mem, p);
    if (old !== 0) {
      this.#mem.copy(at * 4, R.listAt.get(this.#mem, p) * 4, R.count.get(this.#mem, p) * 4);
      kmemSlab(this.#machine, R.room.get(this.#mem, p)).free(old, 'dma.grants');
    }
    R.list.set(this.#mem, p, slot);
    R.listAt.set(this.#mem, p, at);
    R.room.set(this.#mem, p, room);
  }

  #addressAt(p: number, i: number): number {
    return G.address.get(this.#mem, this.#slab.at(this.#mem.i32[R.listAt.get(this.#mem, p) + i]!));
  }

  /** Index of the last grant that starts at or below `address`; -1 when there is none. */
  #lastAtOrBelow(p: number, address: number): number {
    let low = 0;
    let high = R.count.get(this.#mem, p);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#addressAt(p, middle) <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #at(requester: number): number {
    return this.#requesters + requester * R.$words;
  }
}
