import { type BarDescription, type PciFunction, PciSystem } from '@dmabuf-emu/pci-iommu';
import { type Machine, type Mutex, mutexOf, type RwSemaphore, rwsemOf } from '@dmabuf-emu/shm';
import { ConfigModel } from '../config/config-model.ts';
import { VfioStruct as V } from './vfio-struct.ts';

const CORES = Symbol('exporter-vfio.cores');

/** One thread's handle on what VFIO keeps for a function, open or not. */
export class VfioCore {
  readonly machine: Machine;
  readonly fn: PciFunction;
  /** Word of the state. */
  readonly p: number;
  /** Serialises open and close. @kernel vfio_device_set.lock */
  readonly devSetLock: Mutex;
  /** Guards access to the BARs against the device losing its memory. @kernel vfio_pci_core_device.memory_lock */
  readonly memoryLock: RwSemaphore;
  readonly model: ConfigModel;

  constructor(machine: Machine, fn: PciFunction) {
    this.machine = machine;
    this.fn = fn;
    this.p = machine.root(`vfio.device:${fn.index}`, V.$words);
    this.devSetLock = mutexOf(machine, this.p, V.devSetLock);
    this.memoryLock = rwsemOf(machine, this.p, V.memoryLock);
    this.model = new ConfigModel(fn.config);
  }

  /** The handle for the function with that index of the topology. */
  static of(machine: Machine, index: number): VfioCore {
    const cores = machine.local(CORES, () => new Map<number, VfioCore>());
    let core = cores.get(index);
    if (core === undefined) cores.set(index, (core = new VfioCore(machine, PciSystem.of(machine).functions[index]!)));
    return core;
  }

  /** Whether this is an SR-IOV virtual function, whose command register has no memory bit. @kernel no_command_memory */
  get isVirtualFunction(): boolean {
    return this.fn.topology.isVirtualFunction;
  }

  /** Odd while the device is open. */
  get session(): number {
    return V.session.load(this.machine.mem, this.p);
  }

  get isOpen(): boolean {
    return (this.session & 1) === 1;
  }

  /** The BAR whose first register is `index`, if the function has it. @kernel pci_resource_start, pci_resource_len */
  bar(index: number): BarDescription | undefined {
    return this.fn.topology.bar(index);
  }

  /** Event of this device in the machine's trace. */
  trace(event: VfioEvent, b = 0): void {
    const { trace } = this.machine;
    if (trace.on) trace.event(trace.name(event), this.fn.index, b);
  }
}

/**
 * Events and their arguments; `a` is the function's index in all of them.
 *
 * | event | b |
 * |---|---|
 * | vfio_open, vfio_close, vfio_disable | session |
 * | vfio_zap | |
 * | vfio_revoke, vfio_unrevoke, vfio_unlink | inode number of the buffer |
 * | vfio_command | command register as written |
 * | vfio_power | power state |
 * | vfio_reset | 1 when it worked |
 */
export type VfioEvent =
  | 'vfio_open'
  | 'vfio_close'
  | 'vfio_disable'
  | 'vfio_zap'
  | 'vfio_revoke'
  | 'vfio_unrevoke'
  | 'vfio_unlink'
  | 'vfio_command'
  | 'vfio_power'
  | 'vfio_reset';
