import {
  atomicLoad,
  atomicStore,
  i32,
  KernelError,
  type Machine,
  ref,
  spinLock,
  spinUnlock,
  struct,
  u53,
} from '@dmabuf-emu/shm';

const DeviceStruct = struct('device', {
  name: i32(),
  kind: i32(),
  busIndex: i32(),
  next: ref(),
  dmaMask: u53(),
  coherentDmaMask: u53(),
  maxSegmentSize: u53(),
});
const D = DeviceStruct;

/** Words of the list of devices: its lock, its newest entry. */
const LOCK = 0;
const HEAD = 1;

/** @kernel dma_get_max_seg_size */
const DEFAULT_SEGMENT_BYTES = 65_536;

const KINDS = ['pci', 'platform'] as const;
export type DeviceKind = (typeof KINDS)[number];

/** What {@link Device.register} needs to know. */
export interface DeviceInfo {
  /** Unique on the machine: `0000:41:00.0`, `vgem`. */
  readonly name: string;
  readonly kind: DeviceKind;
  /** Index in the PCI topology; -1 for a device that is not on it. */
  readonly busIndex?: number;
  /** Highest address that the device can reach; 2^64-1 when left out. */
  readonly dmaMask?: number;
}

/** A device that buffers are attached to. It lives as long as the machine. A handle over the struct behind `ref`. @kernel device */
export class Device {
  readonly machine: Machine;
  readonly ref: number;

  constructor(machine: Machine, deviceRef: number) {
    this.machine = machine;
    this.ref = deviceRef;
  }

  /** @kernel device_register @throws KernelError EEXIST when the name is taken, ENOMEM. */
  static register(machine: Machine, { name, kind, busIndex = -1, dmaMask = 2 ** 64 }: DeviceInfo): Device {
    const { mem } = machine;
    const list = devices(machine);
    const slab = machine.slab(D);
    const added = slab.alloc('device_register');
    const p = slab.at(added);
    D.name.set(mem, p, machine.intern(name));
    D.kind.set(mem, p, KINDS.indexOf(kind));
    D.busIndex.set(mem, p, busIndex);
    D.dmaMask.set(mem, p, dmaMask);
    D.coherentDmaMask.set(mem, p, dmaMask);
    D.maxSegmentSize.set(mem, p, DEFAULT_SEGMENT_BYTES);
    spinLock(machine, list + LOCK);
    const taken = find(machine, D.name.get(mem, p));
    if (taken === 0) {
      D.next.set(mem, p, atomicLoad(mem, list + HEAD));
      atomicStore(mem, list + HEAD, added);
    }
    spinUnlock(machine, list + LOCK);
    if (taken === 0) return new Device(machine, added);
    slab.free(added, 'device_register');
    throw new KernelError('EEXIST', 'device_register', `there is a device '${name}' already`);
  }

  static byRef(machine: Machine, deviceRef: number): Device {
    return new Device(machine, deviceRef);
  }

  /** The device of that name, or undefined. */
  static byName(machine: Machine, name: string): Device | undefined {
    const found = find(machine, machine.intern(name));
    return found === 0 ? undefined : new Device(machine, found);
  }

  get name(): string {
    return this.machine.string(D.name.get(this.machine.mem, this.#p));
  }

  /** Interned {@link name}, for traces. */
  get nameId(): number {
    return D.name.get(this.machine.mem, this.#p);
  }

  get kind(): DeviceKind {
    return KINDS[D.kind.get(this.machine.mem, this.#p)]!;
  }

  get busIndex(): number {
    return D.busIndex.get(this.machine.mem, this.#p);
  }

  /** Highest address that the device can reach; 0 when none was ever set. Drivers set it before the first mapping. @kernel device.dma_mask */
  get dmaMask(): number {
    return D.dmaMask.get(this.machine.mem, this.#p);
  }

  set dmaMask(mask: number) {
    D.dmaMask.set(this.machine.mem, this.#p, mask);
  }

  /** Highest address of memory that CPU and device share for good. @kernel device.coherent_dma_mask */
  get coherentDmaMask(): number {
    return D.coherentDmaMask.get(this.machine.mem, this.#p);
  }

  set coherentDmaMask(mask: number) {
    D.coherentDmaMask.set(this.machine.mem, this.#p, mask);
  }

  /** Longest entry of a scatter table that the device takes. @kernel device_dma_parameters.max_segment_size */
  get maxSegmentSize(): number {
    return D.maxSegmentSize.get(this.machine.mem, this.#p);
  }

  set maxSegmentSize(bytes: number) {
    D.maxSegmentSize.set(this.machine.mem, this.#p, bytes);
  }

  get #p(): number {
    return this.machine.slab(D).at(this.ref);
  }
}

/** Every registered device, newest first. */
export function* allDevices(machine: Machine): Generator<Device> {
  const slab = machine.slab(D);
  for (let at = atomicLoad(machine.mem, devices(machine) + HEAD); at !== 0; at = D.next.get(machine.mem, slab.at(at))) {
    yield new Device(machine, at);
  }
}

function devices(machine: Machine): number {
  return machine.root('core.devices', 16);
}

function find(machine: Machine, name: number): number {
  for (const device of allDevices(machine)) if (device.nameId === name) return device.ref;
  return 0;
}
