import {
  atomicStore,
  i32,
  isKernelError,
  kmemSlab,
  KernelError,
  type Machine,
  MAX_TASKS,
  type Mem,
  ref,
  type Slab,
  struct,
  type TimerOps,
  withSpin,
} from '@dmabuf-emu/shm';
import { invalidateDeviceTlbs } from './ats/device-tlb.ts';
import { DomainStruct } from './domain-struct.ts';
import { Iotlb } from './iotlb.ts';
import { IovaSpace } from './iova-space.ts';

/** One queue for each task, or one for all of them: for hardware where a flush is slow. @kernel iommu_dma_queue_type */
export type FlushQueueKind = 'per-task' | 'single';

/** Room of a queue (one entry stays free) and longest time that something waits in it. @kernel IOVA_DEFAULT_FQ_SIZE, IOVA_SINGLE_FQ_SIZE */
const SHAPES = {
  'per-task': { entries: 256, timeoutMs: 10, queues: MAX_TASKS },
  single: { entries: 32_768, timeoutMs: 1000, queues: 1 },
} as const;

/** What the queues of one domain share. */
const FlushStruct = struct('iommu_flush_queue', {
  /** Flushes begun and finished: an entry is done when a flush that began after it has finished. */
  started: i32(),
  finished: i32(),
  timerOn: i32(),
  single: i32(),
  /** Slot and word of the table of queues. */
  table: ref(),
  tableAt: i32(),
  /** Accesses that used a translation which waited for its flush. */
  hits: i32(),
});
const S = FlushStruct;

/** Words of a queue, from the slot on; then the entries: address and bytes as doubles, count of flushes begun. */
const LOCK = 1;
const HEAD = 2;
const TAIL = 3;
const ENTRIES = 4;
const BYTES = 2;
const COUNTER = 4;
const ENTRY_WORDS = 6;

/** Flushes a domain's queues when the time has come. `arg` is the domain. */
const FLUSH_TIMER: TimerOps = {
  name: 'iommu.flush-queue',
  expire: (machine, domain) => {
    const queue = flushQueueOf(machine, domain);
    if (queue === null) return;
    queue.timerRan();
    machine.deferWork(() => flushLater(machine, domain));
  },
};

function flushLater(machine: Machine, domain: number): void {
  try {
    flushQueueOf(machine, domain)?.flush();
  } catch (error) {
    // A task died with the lock of the allocator: what was queued is lost, and verify tells.
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
  }
}

/** Lets the calling thread look after the timers of all flush queues. */
export function installFlushTimer(machine: Machine): void {
  machine.timers.install(FLUSH_TIMER);
}

/** The queue of a domain; `null` when it has none or is gone. */
function flushQueueOf(machine: Machine, domain: number): FlushQueue | null {
  const p = machine.slab(DomainStruct).tryAt(domain);
  if (p === 0 || DomainStruct.flushQueue.get(machine.mem, p) === 0) return null;
  const D = DomainStruct;
  const { mem } = machine;
  const iotlb = new Iotlb(machine, D.tlb.get(mem, p), D.tlbSets.get(mem, p), D.tlbWays.get(mem, p));
  iotlb.tellDevices(p + D.ats.at, (first, end) => invalidateDeviceTlbs(machine, domain, first, end));
  const space = new IovaSpace(machine, D.iova.get(mem, p));
  return new FlushQueue(machine, D.flushQueue.get(mem, p), domain, space, () => iotlb.invalidateAll());
}

/**
 * IOVAs whose translations were removed and that are not yet given back, because the IOTLB has not been told: one flush does
 * for all of them, when a queue is full or after 10 ms. Until then a device may still get through.
 * @kernel struct iova_fq
 */
export class FlushQueue {
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #p: number;
  readonly #domain: number;
  readonly #space: IovaSpace;
  readonly #flushIotlb: () => void;
  readonly #shape: (typeof SHAPES)[FlushQueueKind];

  /** @param flushIotlb - invalidates everything that is cached of the domain */
  constructor(machine: Machine, queue: number, domain: number, space: IovaSpace, flushIotlb: () => void) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#p = machine.slab(S).at(queue);
    this.#domain = domain;
    this.#space = space;
    this.#flushIotlb = flushIotlb;
    this.#shape = SHAPES[kindOf(this.#mem, this.#p)];
  }

  /** Makes the queues of a domain, that of the calling task at once. @throws KernelError ENOMEM; nothing is left then @kernel iommu_dma_init_fq */
  static create(machine: Machine, kind: FlushQueueKind): number {
    const { mem } = machine;
    const slab = machine.slab(S);
    const made = slab.alloc('iommu.flush-queue');
    const p = slab.at(made);
    S.single.set(mem, p, kind === 'single' ? 1 : 0);
    try {
      const tables = kmemSlab(machine, SHAPES[kind].queues);
      const table = tables.alloc('iommu.flush-queue');
      S.table.set(mem, p, table);
      S.tableAt.set(mem, p, tables.at(table) + 1);
      if (queueWord(machine, p) === 0) throw new KernelError('ENOMEM', 'iommu_dma_init_fq', 'no memory for a queue');
    } catch (error) {
      if (isKernelError(error)) freeQueues(machine, made);
      throw error;
    }
    return made;
  }

  /** Forgets what is queued and gives all memory back. @kernel iommu_dma_free_fq */
  static destroy(machine: Machine, queue: number): void {
    freeQueues(machine, queue);
  }

  /** Whether the calling task has a queue. Without memory for one, it must invalidate at once. */
  get isReady(): boolean {
    return queueWord(this.#machine, this.#p) !== 0;
  }

  /** Queues an IOVA range whose translations were removed; {@link isReady} must have been true. @kernel queue_iova */
  add(iova: number, bytes: number): void {
    const queue = queueWord(this.#machine, this.#p);
    const done: number[] = [];
    while (!this.#push(queue, iova, bytes, done)) this.#flushNow();
    this.#giveBack(done);
    this.#startTimer();
  }

  /** Runs what is due of the machine's timers: calls of the DMA API do it, as there is no interrupt for it. */
  poll(): void {
    const { timers } = this.#machine;
    if (timers.nextNs !== Number.POSITIVE_INFINITY) timers.run();
  }

  /** Invalidates, and gives back all that was queued before. @kernel fq_flush_timeout */
  flush(): void {
    this.#flushNow();
    const done: number[] = [];
    for (const queue of this.#queues()) {
      withSpin(this.#machine, queue + LOCK, () => this.#takeDone(queue, done));
    }
    this.#giveBack(done);
  }

  /** The timer is no longer running. */
  timerRan(): void {
    S.timerOn.store(this.#mem, this.#p, 0);
  }

  /** A task died, maybe before it could start the timer. */
  reap(): void {
    this.timerRan();
    this.flush();
  }

  /** Pages that are queued. Exact on a quiet machine. */
  get pages(): number {
    let pages = 0;
    for (const queue of this.#queues()) this.#each(queue, (_, bytes) => (pages += bytes / this.#space.granule));
    return pages;
  }

  /** Ranges that are queued. Exact on a quiet machine. */
  get length(): number {
    let length = 0;
    for (const queue of this.#queues()) this.#each(queue, () => length++);
    return length;
  }

  /** Flushes so far. */
  get flushes(): number {
    return S.finished.load(this.#mem, this.#p);
  }

  /** Accesses that used a translation which waited for its flush: allowed, and what a strict domain would not have let happen. */
  get hits(): number {
    return S.hits.load(this.#mem, this.#p);
  }

  /**
   * A device used a translation of `iova` that the page table no longer has. True, and counted, when that is this queue's
   * doing: the address is queued, or was until a flush since {@link flushes} was `before`.
   */
  excuses(iova: number, before: number): boolean {
    if (!this.#isQueued(iova) && this.flushes === before) return false;
    S.hits.add(this.#mem, this.#p, 1);
    return true;
  }

  #isQueued(iova: number): boolean {
    const finished = this.flushes;
    let found = false;
    for (const queue of this.#queues()) {
      this.#each(queue, (start, bytes, counter) => {
        if (iova >= start && iova < start + bytes && !isDone(counter, finished)) found = true;
      });
    }
    return found;
  }

  /** False when the queue is full: nothing is queued then. What is done is taken out before. */
  #push(queue: number, iova: number, bytes: number, done: number[]): boolean {
    const { i32: words, f64 } = this.#mem;
    return withSpin(this.#machine, queue + LOCK, () => {
      this.#takeDone(queue, done);
      const tail = words[queue + TAIL]!;
      const next = (tail + 1) % this.#shape.entries;
      if (next === words[queue + HEAD]) return false;
      const at = queue + ENTRIES + tail * ENTRY_WORDS;
      f64[at >>> 1] = iova;
      f64[(at + BYTES) >>> 1] = bytes;
      words[at + COUNTER] = S.started.load(this.#mem, this.#p);
      atomicStore(this.#mem, queue + TAIL, next);
      return true;
    });
  }

  /** Takes entries out that a flush has covered: address and bytes of each. @kernel fq_ring_free_locked */
  #takeDone(queue: number, into: number[]): void {
    const { i32: words, f64 } = this.#mem;
    const finished = this.flushes;
    let head = words[queue + HEAD]!;
    for (const tail = words[queue + TAIL]!; head !== tail; head = (head + 1) % this.#shape.entries) {
      const at = queue + ENTRIES + head * ENTRY_WORDS;
      if (!isDone(words[at + COUNTER]!, finished)) break;
      into.push(f64[at >>> 1]!, f64[(at + BYTES) >>> 1]!);
    }
    atomicStore(this.#mem, queue + HEAD, head);
  }

  #giveBack(done: readonly number[]): void {
    const { granule } = this.#space;
    for (let i = 0; i < done.length; i += 2) this.#space.free(done[i]! / granule, done[i + 1]! / granule);
  }

  /** @kernel fq_flush_iotlb */
  #flushNow(): void {
    S.started.add(this.#mem, this.#p, 1);
    this.#flushIotlb();
    S.finished.add(this.#mem, this.#p, 1);
  }

  #startTimer(): void {
    if (S.timerOn.load(this.#mem, this.#p) !== 0 || S.timerOn.exchange(this.#mem, this.#p, 1) !== 0) return;
    try {
      this.#machine.timers.start(FLUSH_TIMER, this.#domain, this.#shape.timeoutMs);
    } catch (error) {
      // Whatever is queued next tries again.
      if (!isKernelError(error, 'ENOMEM')) throw error;
      this.timerRan();
    }
  }

  #queues(): number[] {
    const slab = queueSlab(this.#machine, kindOf(this.#mem, this.#p));
    return queueRefs(this.#mem, this.#p).map((queue) => slab.at(queue));
  }

  #each(queue: number, fn: (iova: number, bytes: number, counter: number) => void): void {
    const { i32: words, f64 } = this.#mem;
    const tail = words[queue + TAIL]!;
    for (let i = words[queue + HEAD]!; i !== tail; i = (i + 1) % this.#shape.entries) {
      const at = queue + ENTRIES + i * ENTRY_WORDS;
      fn(f64[at >>> 1]!, f64[(at + BYTES) >>> 1]!, words[at + COUNTER]!);
    }
  }
}

function isDone(counter: number, finished: number): boolean {
  return ((counter - finished) | 0) < 0;
}

/** Word of the calling task's queue, made when first asked for; 0 without memory for it. */
function queueWord(machine: Machine, p: number): number {
  const { mem } = machine;
  const kind = kindOf(mem, p);
  const entry = S.tableAt.get(mem, p) + (kind === 'single' ? 0 : machine.tid - 1);
  const slab = queueSlab(machine, kind);
  let queue = mem.i32[entry]!;
  if (queue === 0) {
    try {
      queue = slab.alloc('iommu.flush-queue');
    } catch (error) {
      if (isKernelError(error, 'ENOMEM')) return 0;
      throw error;
    }
    atomicStore(mem, entry, queue);
  }
  return slab.at(queue);
}

function kindOf(mem: Mem, p: number): FlushQueueKind {
  return S.single.get(mem, p) === 1 ? 'single' : 'per-task';
}

function queueSlab(machine: Machine, kind: FlushQueueKind): Slab {
  return kmemSlab(machine, ENTRIES + SHAPES[kind].entries * ENTRY_WORDS);
}

/** The table of queues: refs, 0 where there is none. */
function queueRefs(mem: Mem, p: number): number[] {
  const at = S.tableAt.get(mem, p);
  return Array.from(mem.i32.subarray(at, at + SHAPES[kindOf(mem, p)].queues)).filter((queue) => queue !== 0);
}

function freeQueues(machine: Machine, made: number): void {
  const { mem } = machine;
  const slab = machine.slab(S);
  const p = slab.at(made);
  const table = S.table.get(mem, p);
  const kind = kindOf(mem, p);
  if (table !== 0) {
    for (const queue of queueRefs(mem, p)) queueSlab(machine, kind).free(queue, 'iommu.flush-queue');
    kmemSlab(machine, SHAPES[kind].queues).free(table, 'iommu.flush-queue');
  }
  slab.free(made, 'iommu.flush-queue');
}
