import { type DmaBuf, OpenFlags, registerDrivers } from '@dmabuf-emu/core';
import { pageUp } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, Mutex, orUndo } from '@dmabuf-emu/shm';
import type { HeapOps } from './heap-ops.ts';
import { DmaHeapStruct as H } from './heap-struct.ts';

/** Most heaps of a machine. @kernel NUM_HEAP_MINORS */
const HEAPS_MAX = 128;
/** Words of the list of heaps: its lock, the first and the last one, their number. */
const LOCK = 0;
const FIRST = 1;
const LAST = 2;
const COUNT = 3;

/** Bits that `fd_flags` may have. @kernel DMA_HEAP_VALID_FD_FLAGS */
const VALID_FD_FLAGS = OpenFlags.CLOEXEC | OpenFlags.ACCMODE;
/** Bits that `heap_flags` may have: none. @kernel DMA_HEAP_VALID_HEAP_FLAGS */
const VALID_HEAP_FLAGS = 0n;
const PAGE_MASK = 4095n;

/** What a heap is made of. @kernel dma_heap_export_info */
export interface HeapInfo {
  readonly name: string;
  readonly ops: HeapOps;
  /** The driver's word. */
  readonly priv?: number;
}

/** What a process asks for. @kernel struct dma_heap_allocation_data */
export interface HeapRequest {
  /** Bytes; rounded up to whole pages. */
  readonly len: number | bigint;
  /** Must be 0: the descriptor is the answer. */
  readonly fd?: number;
  /** Access mode of the buffer, and O_CLOEXEC. */
  readonly fdFlags?: number;
  /** Must be 0. */
  readonly heapFlags?: number | bigint;
}

/** A heap of a machine. A handle over the struct behind `ref`. @kernel dma_heap */
export class DmaHeap {
  readonly machine: Machine;
  readonly ref: number;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
  }

  /**
   * Adds a heap, for good. Registers its driver in the calling thread.
   * @kernel dma_heap_add
   * @throws KernelError EINVAL (no name, nothing that allocates), ENOMEM, EBUSY (too many heaps), EEXIST (name is taken)
   */
  static add(machine: Machine, { name, ops, priv = 0 }: HeapInfo): DmaHeap {
    const refuse = (code: 'EINVAL' | 'EBUSY' | 'EEXIST', why: string): KernelError =>
      new KernelError(code, 'dma_heap_add', `heap '${name}': ${why}`);
    if (!name) throw refuse('EINVAL', 'no name');
    if (typeof ops?.allocate !== 'function') throw refuse('EINVAL', 'nothing that allocates');
    registerDrivers(machine, [ops]);
    const { mem } = machine;
    const slab = machine.slab(H);
    const ref = slab.alloc('dma_heap_add');
    return orUndo(
      () =>
        locked(machine, (list) => {
          const count = mem.i32[list + COUNT]!;
          if (count === HEAPS_MAX) throw refuse('EBUSY', `there are ${HEAPS_MAX} heaps already`);
          if (walk(machine).some((heap) => heap.name === name)) throw refuse('EEXIST', 'the name is taken');
          const p = slab.at(ref);
          H.name.set(mem, p, machine.intern(name));
          H.ops.set(mem, p, machine.drivers.id(ops.kind, ops.name));
          H.priv.set(mem, p, priv);
          H.minor.set(mem, p, count);
          const last = mem.i32[list + LAST]!;
          if (last === 0) mem.i32[list + FIRST] = ref;
          else H.next.set(mem, slab.at(last), ref);
          mem.i32[list + LAST] = ref;
          mem.i32[list + COUNT] = count + 1;
          return new DmaHeap(machine, ref);
        }),
      () => slab.free(ref, 'dma_heap_add'),
    );
  }

  /** The heap of that name; undefined when there is none. */
  static find(machine: Machine, name: string): DmaHeap | undefined {
    return DmaHeap.all(machine).find((heap) => heap.name === name);
  }

  /** Every heap, in the order in which they were added. */
  static all(machine: Machine): DmaHeap[] {
    return locked(machine, () => walk(machine));
  }

  /** @kernel dma_heap_get_name */
  get name(): string {
    return this.machine.string(H.name.get(this.machine.mem, this.#p));
  }

  /** Number of its device node. */
  get minor(): number {
    return H.minor.get(this.machine.mem, this.#p);
  }

  /** The driver's word. @kernel dma_heap_get_drvdata */
  get priv(): number {
    return H.priv.get(this.machine.mem, this.#p);
  }

  /**
   * A new buffer, zeroed, as a descriptor of the calling task's process.
   * @kernel DMA_HEAP_IOCTL_ALLOC
   * @throws KernelError EINVAL (descriptor given, flags, length 0), what the heap throws, EMFILE
   */
  alloc(request: HeapRequest): number {
    checkRequest(request);
    const { fdFlags = OpenFlags.RDWR | OpenFlags.CLOEXEC } = request;
    const dmabuf = this.allocBuffer(request.len, fdFlags);
    return orUndo(
      () => dmabuf.fd(fdFlags & OpenFlags.CLOEXEC),
      () => dmabuf.put(),
    );
  }

  /**
   * A new buffer without a descriptor; the caller owns its one reference.
   * @param len bytes
   * @param fdFlags access mode
   * @kernel dma_heap_buffer_alloc
   * @throws KernelError EINVAL (length 0, or none once it is rounded up to whole pages), what the heap throws
   */
  allocBuffer(len: number | bigint, fdFlags: number = OpenFlags.RDWR): DmaBuf {
    const bytes = BigInt.asUintN(64, BigInt.asUintN(64, BigInt(len)) + PAGE_MASK) & ~PAGE_MASK;
    if (bytes === 0n) throw new KernelError('EINVAL', 'dma_heap_buffer_alloc', `no pages for ${len} bytes`);
    const ops = this.machine.drivers.get<HeapOps>('dma-heap', H.ops.get(this.machine.mem, this.#p));
    return ops.allocate(this, pageUp(Number(bytes)), fdFlags);
  }

  get #p(): number {
    return this.machine.slab(H).at(this.ref);
  }
}

/** Looks at what does not depend on the heap, in the kernel's order. @kernel dma_heap_ioctl_allocate @throws KernelError EINVAL */
export function checkRequest({ fd = 0, fdFlags = 0, heapFlags = 0 }: HeapRequest): void {
  const refuse = (why: string): KernelError => new KernelError('EINVAL', 'dma_heap_ioctl_allocate', why);
  if (fd !== 0) throw refuse(`descriptor ${fd} given, must be 0`);
  if ((fdFlags & ~VALID_FD_FLAGS) !== 0) throw refuse(`fd_flags 0x${(fdFlags >>> 0).toString(16)}`);
  if ((BigInt(heapFlags) & ~VALID_HEAP_FLAGS) !== 0n) throw refuse(`heap_flags ${heapFlags}, must be 0`);
}

/** The list must be locked. */
function walk(machine: Machine): DmaHeap[] {
  const heaps: DmaHeap[] = [];
  const slab = machine.slab(H);
  for (let ref = machine.mem.i32[listAt(machine) + FIRST]!; ref !== 0; ref = H.next.get(machine.mem, slab.at(ref))) {
    heaps.push(new DmaHeap(machine, ref));
  }
  return heaps;
}

function locked<T>(machine: Machine, fn: (list: number) => T): T {
  const list = listAt(machine);
  return new Mutex(machine, list + LOCK, 'dma_heap.list_lock').with(() => fn(list));
}

function listAt(machine: Machine): number {
  return machine.root('dma_heap.list', 16);
}
