import { DmaBuf } from '@dmabuf-emu/core';
import {
  CapId,
  EXP_DEVCTL,
  EXP_DEVCTL_FLR,
  type PciFunction,
  PciSystem,
  PM_CTRL,
  type PowerState,
} from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, type RwSemaphore } from '@dmabuf-emu/shm';
import { failHardware } from './config/hardware-config.ts';
import { PCI_AF_CTRL, PCI_AF_CTRL_FLR } from './config/registers.ts';
import { type CommandRegister, VirtualConfigSpace } from './config/virtual-config-space.ts';
import { readBar, writeBar } from './device/bar-io.ts';
import { enterLowPower, exitLowPower } from './device/low-power.ts';
import { memoryEnabled } from './device/memory-enabled.ts';
import { closeDevice, openDevice, type OpenOptions } from './device/open-close.ts';
import { OpenDevice } from './device/open-device.ts';
import { unbindDriver } from './device/registration.ts';
import { resetDevice } from './device/reset.ts';
import { VfioCore } from './device/vfio-core.ts';
import { VfioStruct as V } from './device/vfio-struct.ts';
import { listed } from './dma-buf/device-list.ts';
import { VfioDmaBufStruct as D } from './dma-buf/dma-buf-struct.ts';
import { exportDmaBuf } from './dma-buf/export.ts';
import { installFd } from './dma-buf/install-fd.ts';
import { isRevoked } from './dma-buf/state.ts';
import { deviceFeature } from './feature/device-feature.ts';
import { type DmaBufRequest, encodeDmaBufFeature, type FeatureArgument } from './feature/dma-buf-argument.ts';
import { registerVfio } from './register.ts';
import { deviceInfo, type DeviceInfo, regionInfo, type RegionInfo } from './device/device-info.ts';
import { irqInfo, type IrqInfo } from './irq/irq-info.ts';
import { encodeIrqSet, type IrqSetArgument } from './irq/irq-set-argument.ts';
import { setIrqs } from './irq/set-irqs.ts';

/**
 * An open VFIO PCI device: what a program can do with its descriptor. State is in the machine, so any thread that joined may
 * hold one ({@link VfioDevice.of}); after the device was closed, all of them throw EBADF.
 */
export class VfioDevice {
  readonly machine: Machine;
  readonly fn: PciFunction;
  readonly config: VirtualConfigSpace;
  readonly #device: OpenDevice;

  private constructor(device: OpenDevice) {
    this.machine = device.core.machine;
    this.fn = device.core.fn;
    this.config = new VirtualConfigSpace(device);
    this.#device = device;
  }

  /**
   * Binds the driver to a function if need be, and opens it: bus mastering off, the function reset.
   * @throws KernelError EBUSY (open already), EINVAL (a bridge), ENODEV (being unbound), EAGAIN (being reset by somebody)
   */
  static open(machine: Machine, target: string | PciFunction, options: OpenOptions = {}): VfioDevice {
    return new VfioDevice(openDevice(coreOf(machine, target), options));
  }

  /** The device that was opened, by any thread. @throws KernelError ENODEV when it is not open */
  static of(machine: Machine, target: string | PciFunction): VfioDevice {
    const core = coreOf(machine, target);
    const { session } = core;
    if ((session & 1) === 0) throw new KernelError('ENODEV', 'vfio_device_of', `${core.fn.bdf} is not open`);
    return new VfioDevice(new OpenDevice(core, session));
  }

  /**
   * Unbinds the driver: returns once the device is closed and the last of its buffers is gone. False when `timeoutMs` (on the
   * machine's clock) passed first; unbinding goes on, so that a later call can wait again.
   * @kernel vfio_unregister_group_dev
   */
  static unbind(machine: Machine, target: string | PciFunction, timeoutMs?: number): boolean {
    return unbindDriver(coreOf(machine, target), timeoutMs);
  }

  get bdf(): string {
    return this.fn.bdf;
  }

  get isOpen(): boolean {
    return this.#device.isOpen;
  }

  /** Held for writing by whatever changes whether the BARs answer. Outside the buffers' resv. */
  get memoryLock(): RwSemaphore {
    return this.#core.memoryLock;
  }

  /** Whether the user has memory of the device switched on. */
  get memoryEnabled(): boolean {
    return memoryEnabled(this.#core);
  }

  /** Whether the function can be reset. */
  get resetWorks(): boolean {
    return V.resetWorks.load(this.machine.mem, this.#core.p) !== 0;
  }

  /** Shorthand for {@link VirtualConfigSpace.command}. */
  get command(): CommandRegister {
    return this.config.command;
  }

  /**
   * A buffer over parts of a BAR; the caller owns its one reference.
   * @throws KernelError EINVAL, ENODEV, EOVERFLOW, ENOMEM, ENFILE, EOPNOTSUPP, EBADF; UsageError for what is no 64-bit number
   */
  exportDmaBuf(request: DmaBufRequest): DmaBuf {
    const { region, ranges, openFlags = 0, flags = 0 } = request;
    if (V.exports.get(this.machine.mem, this.#core.p) === 0) {
      throw new KernelError('EOPNOTSUPP', 'vfio_pci_core_feature_dma_buf', 'this driver cannot export its BARs');
    }
    return exportDmaBuf(this.#device, { region, openFlags, flags, count: ranges.length, ranges: () => ranges });
  }

  /** {@link exportDmaBuf}, and a descriptor in the calling task's process that owns the reference. @throws also EMFILE */
  exportDmaBufFd(request: DmaBufRequest): number {
    return installFd(this.exportDmaBuf(request), request.openFlags ?? 0);
  }

  /**
   * `ioctl(VFIO_DEVICE_FEATURE)` with the bytes that a program passes, or what {@link encodeDmaBufFeature} makes them of.
   * Returns 0 or, for DMA_BUF, a descriptor.
   * @throws KernelError as the ioctl
   */
  feature(argument: Uint8Array | FeatureArgument): number {
    return deviceFeature(this.#device, argument instanceof Uint8Array ? argument : encodeDmaBufFeature(argument));
  }

  /** `ioctl(VFIO_DEVICE_RESET)`. @throws KernelError EINVAL (cannot be reset), EAGAIN, ENOTTY */
  reset(): void {
    resetDevice(this.#device);
  }

  /** Whether the function has a bit that resets it: see {@link flr}. */
  get hasFlr(): boolean {
    return [CapId.EXP, CapId.AF].some((id) => this.#core.model.capabilityAt(id) !== 0);
  }

  /** Whether the function has power states: see {@link setPowerState}. */
  get hasPowerStates(): boolean {
    return this.fn.config.capabilities.pm;
  }

  /**
   * Resets the function by the bit in its PCI Express or advanced features capability.
   * @throws KernelError ENOTTY when it has neither
   */
  flr(): void {
    const exp = this.#core.model.capabilityAt(CapId.EXP);
    const af = this.#core.model.capabilityAt(CapId.AF);
    if (exp !== 0) {
      this.config.write(exp + EXP_DEVCTL, 2, this.config.read(exp + EXP_DEVCTL, 2) | EXP_DEVCTL_FLR);
    } else if (af !== 0) {
      this.config.write(af + PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR);
    } else throw new KernelError('ENOTTY', 'vfio_device_flr', `${this.bdf} has no register for it`);
  }

  /** Writes the power state (0 to 3, 3 is D3hot). @throws KernelError ENOTTY without power management */
  setPowerState(state: PowerState): void {
    if (!this.hasPowerStates) throw new KernelError('ENOTTY', 'vfio_device_power', `${this.bdf} has none`);
    this.config.write(this.#core.model.capabilityAt(CapId.PM) + PM_CTRL, 2, state);
  }

  /** `ioctl(VFIO_DEVICE_GET_INFO)`. */
  info(): DeviceInfo {
    return deviceInfo(this.#device);
  }

  /** `ioctl(VFIO_DEVICE_GET_REGION_INFO)`. @throws KernelError EINVAL */
  regionInfo(index: number): RegionInfo {
    return regionInfo(this.#device, index);
  }

  /** `ioctl(VFIO_DEVICE_GET_IRQ_INFO)`. @throws KernelError EINVAL */
  irqInfo(index: number, argsz?: number): IrqInfo {
    return irqInfo(this.#device, index, argsz);
  }

  /**
   * `ioctl(VFIO_DEVICE_SET_IRQS)` with the bytes that a program passes, or what {@link encodeIrqSet} makes them of. Descriptors
   * are those of the calling task.
   * @throws KernelError as the ioctl
   */
  setIrqs(argument: Uint8Array | IrqSetArgument): void {
    setIrqs(this.#device, argument instanceof Uint8Array ? argument : encodeIrqSet(argument));
  }

  /** Lets the device sleep; its buffers are revoked. @kernel VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY @throws KernelError EINVAL the second time */
  lowPowerEntry(): void {
    enterLowPower(this.#device);
  }

  /** @kernel VFIO_DEVICE_FEATURE_LOW_POWER_EXIT */
  lowPowerExit(): void {
    exitLowPower(this.#device);
  }

  /** Reads from a BAR. Ends at the BAR's end. @throws KernelError EINVAL, EIO while memory is disabled */
  readBar(region: number, offset: number, length: number): Uint8Array {
    return readBar(this.#device, region, offset, length);
  }

  /** Writes to a BAR; returns how many bytes there was room for. @throws KernelError EINVAL, EIO while memory is disabled, ENOMEM */
  writeBar(region: number, offset: number, bytes: Uint8Array): number {
    return writeBar(this.#device, region, offset, bytes);
  }

  /**
   * Closes the device. Returns when nobody uses its buffers any more; they live on, revoked, until their last reference goes.
   * @throws KernelError EBADF when it is closed already
   */
  close(): void {
    closeDevice(this.#device);
  }

  /** The device's buffers, oldest first, without references. For checks on a quiet machine. */
  dmaBufs(): DmaBuf[] {
    return [...listed(this.#core)].map((buffer) => DmaBuf.of(this.machine, D.dmabuf.get(this.machine.mem, buffer.p)));
  }

  /** Whether a buffer is revoked at the moment: {@link isRevoked}. */
  revokedOf(dmabuf: DmaBuf): boolean {
    return isRevoked(dmabuf);
  }

  /** Makes the next `count` accesses of VFIO to the hardware's configuration space fail with EIO. */
  failHardware(access: 'read' | 'write', count = 1): void {
    failHardware(this.#core, access, count);
  }

  get #core(): VfioCore {
    return this.#device.core;
  }
}

function coreOf(machine: Machine, target: string | PciFunction): VfioCore {
  registerVfio(machine);
  const fn = typeof target === 'string' ? PciSystem.of(machine).function(target) : target;
  return VfioCore.of(machine, fn.index);
}
