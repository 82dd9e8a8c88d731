import { Device } from '@dmabuf-emu/core';
import { isKernelError, KernelError, type Machine, type Mutex, mutexOf, UsageError } from '@dmabuf-emu/shm';
import { IdTable } from '../internal/id-table.ts';
import { DrmDeviceStruct as D } from './device-struct.ts';
import { DRM_DRIVERS, type DrmDriver, type DrmDriverName } from './drivers.ts';

/** The device of a driver, as one thread sees it. @kernel drm_device */
export class DrmDevice {
  readonly machine: Machine;
  readonly driver: DrmDriver;
  /** Word of the struct. */
  readonly p: number;
  readonly objectNameLock: Mutex;
  readonly names: IdTable;

  private constructor(machine: Machine, driver: DrmDriver) {
    this.machine = machine;
    this.driver = driver;
    this.p = machine.root(`drm:${driver.name}`, D.$words);
    this.objectNameLock = mutexOf(machine, this.p, D.objectNameLock);
    this.names = new IdTable(machine, this.p, D.names);
  }

  /** @throws UsageError for a driver that there is none of */
  static of(machine: Machine, name: DrmDriverName): DrmDevice {
    const driver = DRM_DRIVERS[name];
    if (driver !== undefined) return machine.local(keyOf(name), () => new DrmDevice(machine, driver));
    throw new UsageError(`DRM drivers are ${Object.keys(DRM_DRIVERS).join(', ')}, got ${name as string}`);
  }

  /** The device of a card minor. */
  static byMinor(machine: Machine, minor: number): DrmDevice {
    const driver = Object.values(DRM_DRIVERS).find((known) => known.minor === minor)!;
    return DrmDevice.of(machine, driver.name);
  }

  /** What imported buffers are attached to. @throws KernelError ENOMEM @kernel drm_dev_dma_dev */
  get dmaDevice(): Device {
    const { machine, p } = this;
    const known = D.device.load(machine.mem, p);
    if (known !== 0) return Device.byRef(machine, known);
    const device = registerOnce(machine, this.driver.name);
    D.device.store(machine.mem, p, device.ref);
    return device;
  }

  /** @throws KernelError EOPNOTSUPP unless the driver has sync objects @kernel drm_core_check_feature */
  requireSyncobj(call: string): void {
    if (!this.driver.syncobj) throw new KernelError('EOPNOTSUPP', call, `${this.driver.name} has no sync objects`);
  }
}

const KEYS = new Map<string, symbol>();

function keyOf(name: string): symbol {
  let key = KEYS.get(name);
  if (key === undefined) KEYS.set(name, (key = Symbol(`drm.${name}`)));
  return key;
}

function registerOnce(machine: Machine, name: string): Device {
  try {
    return Device.byName(machine, name) ?? Device.register(machine, { name, kind: 'platform' });
  } catch (error) {
    if (isKernelError(error, 'EEXIST')) return Device.byName(machine, name)!;
    throw error;
  }
}
