import { type PciFunction, PciSystem } from '@dmabuf-emu/pci-iommu';
import { type Machine, type Mutex, mutexOf } from '@dmabuf-emu/shm';
import { RdmaStruct as R } from './rdma-struct.ts';

const CORES = Symbol('exporter-rdma.cores');
export const ROOT_PREFIX = 'rdma.device:';

/** One thread's handle on what the driver keeps for a function, open or not. */
export class RdmaCore {
  readonly machine: Machine;
  readonly fn: PciFunction;
  /** Word of the state. */
  readonly p: number;
  readonly entriesLock: Mutex;

  constructor(machine: Machine, fn: PciFunction) {
    this.machine = machine;
    this.fn = fn;
    this.p = machine.root(ROOT_PREFIX + fn.index, R.$words);
    this.entriesLock = mutexOf(machine, this.p, R.entriesLock);
  }

  /** The handle for the function with that index of the topology. */
  static of(machine: Machine, index: number): RdmaCore {
    const cores = machine.local(CORES, () => new Map<number, RdmaCore>());
    let core = cores.get(index);
    if (core === undefined) cores.set(index, (core = new RdmaCore(machine, PciSystem.of(machine).functions[index]!)));
    return core;
  }

  /** Odd while the device is open. */
  get session(): number {
    return R.session.load(this.machine.mem, this.p);
  }

  /** Event in the machine's trace: the function's index and one argument. */
  trace(event: RdmaEvent, b = 0): void {
    const { trace } = this.machine;
    if (trace.on) trace.event(trace.name(event), this.fn.index, b);
  }
}

/** Events; `b` is the entry's key, for rdma_revoke the buffer's inode number. */
export type RdmaEvent = 'rdma_entry_insert' | 'rdma_entry_remove' | 'rdma_entry_free' | 'rdma_revoke';
