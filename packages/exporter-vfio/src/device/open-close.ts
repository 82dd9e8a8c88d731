import { PciCommand, PciSystem, PowerState, Reg } from '@dmabuf-emu/pci-iommu';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import { saveBars } from '../config/bar-registers.ts';
import { PCI_INTERRUPT_PIN, PCI_VENDOR_ID } from '../config/registers.ts';
import { virtualRead, virtualWrite } from '../config/virtual-bytes.ts';
import { cleanupDmaBufs } from '../dma-buf/cleanup.ts';
import { releaseIrqs } from '../irq/set-irqs.ts';
import { OpenDevice } from './open-device.ts';
import { bindDriver, putRegistration, tryGetRegistration } from './registration.ts';
import { tryReset } from './reset.ts';
import { countVfUser, uuidBytes, validateToken } from './vf-token.ts';
import type { VfioCore } from './vfio-core.ts';
import { VfioStruct as V } from './vfio-struct.ts';

/** How a device is opened. */
export interface OpenOptions {
  /** UUID for a virtual function whose physical function VFIO has, or for that one. */
  readonly vfToken?: string;
  /** False for a variant driver that cannot export its BARs. */
  readonly exportsDmaBufs?: boolean;
  /** BARs that another driver has taken. */
  readonly foreignBars?: readonly number[];
}

/**
 * Opens a function: bus mastering off, reset, a fresh virtual configuration space. Binds the driver first when it is not.
 * @kernel vfio_df_open, vfio_pci_core_enable
 * @locks takes vfio.dev_set.lock
 * @throws KernelError EINVAL (a bridge), ENODEV (gone, or being unbound), EBUSY (open already), EAGAIN (somebody resets it), EACCES (token)
 */
export function openDevice(core: VfioCore, options: OpenOptions): OpenDevice {
  const { vfToken, exportsDmaBufs = true, foreignBars = [] } = options;
  const { mem } = core.machine;
  return core.devSetLock.with(() => {
    if (!core.fn.alive) throw new KernelError('ENODEV', 'vfio_df_open', `${core.fn.bdf} is gone`);
    bindDriver(core);
    if (core.isOpen) throw new KernelError('EBUSY', 'vfio_df_open', `${core.fn.bdf} is open already`);
    if (V.bound.load(mem, core.p) !== 1 || !tryGetRegistration(core)) {
      throw new KernelError('ENODEV', 'vfio_device_try_get_registration', `${core.fn.bdf} is being unbound`);
    }
    orUndo(
      () => {
        validateToken(core, vfToken === undefined ? null : uuidBytes(vfToken));
        enable(core);
      },
      () => putRegistration(core),
    );
    V.exports.set(mem, core.p, exportsDmaBufs ? 1 : 0);
    V.foreignBars.store(
      mem,
      core.p,
      foreignBars.reduce((bits, bar) => bits | (1 << bar), 0),
    );
    countVfUser(core, 1);
    const session = V.session.add(mem, core.p, 1) + 1;
    core.trace('vfio_open', session);
    return new OpenDevice(core, session);
  });
}

/**
 * Closes the device: takes its buffers back for good, waiting for their users, then switches it off.
 * @kernel vfio_df_close, vfio_pci_core_close_device
 * @locks takes vfio.dev_set.lock, in it vfio.memory_lock for writing
 * @throws KernelError EBADF when it is closed already, EOWNERDEAD when a task died with one of the locks; UsageError
 *   when an importer of a buffer is not registered in this thread, and the device stays open
 */
export function closeDevice(device: OpenDevice): void {
  const { core } = device;
  core.devSetLock.with(() => {
    core.memoryLock.write(() => {
      device.check('vfio_df_close');
      core.trace('vfio_close', device.session);
      cleanupDmaBufs(core);
      V.session.add(core.machine.mem, core.p, 1);
    });
    disable(core);
    countVfUser(core, -1);
    putRegistration(core);
    core.trace('vfio_disable', device.session);
  });
}

/** @kernel vfio_pci_core_enable */
function enable(core: VfioCore): void {
  const { mem } = core.machine;
  const { config } = core.fn;
  PciSystem.of(core.machine).p2p.init(core.fn.topology);
  config.busMaster = false;
  config.powerState = PowerState.D0;
  config.command |= decodeBits(core);
  const failure = tryReset(core);
  if (failure?.code === 'EAGAIN') throw failure;
  V.resetWorks.store(mem, core.p, failure === undefined ? 1 : 0);
  V.savedCommand.set(mem, core.p, config.command);
  config.command &= ~PciCommand.INTX_DISABLE;
  V.lowPower.store(mem, core.p, 0);
  V.readFailures.store(mem, core.p, 0);
  V.writeFailures.store(mem, core.p, 0);
  initConfig(core);
}

/** Fills the virtual copy from the hardware. @kernel vfio_config_init */
function initConfig(core: VfioCore): void {
  const { fn } = core;
  for (let at = 0; at < core.model.size; at += 4) virtualWrite(core, at, 4, fn.config.read(at, 4));
  for (const { at, size, mask, value } of core.model.links) {
    virtualWrite(core, at, size, (virtualRead(core, at, size) & ~mask) | value);
  }
  saveBars(core);
  V.barDirty.store(core.machine.mem, core.p, 1);
  if (!core.isVirtualFunction) return;
  virtualWrite(core, PCI_VENDOR_ID, 2, fn.vendorId ?? 0xffff);
  virtualWrite(core, PCI_VENDOR_ID + 2, 2, fn.deviceId ?? 0xffff);
  virtualWrite(core, PCI_INTERRUPT_PIN, 1, 0);
  virtualWrite(core, Reg.COMMAND, 2, virtualRead(core, Reg.COMMAND, 2) | PciCommand.MEMORY);
}

/** @kernel vfio_pci_core_disable */
function disable(core: VfioCore): void {
  const { config } = core.fn;
  const saved = V.savedCommand.get(core.machine.mem, core.p);
  V.lowPower.store(core.machine.mem, core.p, 0);
  config.powerState = PowerState.D0;
  config.busMaster = false;
  releaseIrqs(core);
  config.command = PciCommand.INTX_DISABLE;
  if (V.resetWorks.load(core.machine.mem, core.p) !== 0) tryReset(core);
  config.command = saved & ~PciCommand.MASTER;
}

/** What the kernel enables for the BARs that the function has. @kernel pci_enable_resources */
function decodeBits({ fn }: VfioCore): number {
  let bits = 0;
  for (const bar of fn.topology.bars) {
    if (bar.start !== 0) bits |= bar.kind === 'io' ? PciCommand.IO : PciCommand.MEMORY;
  }
  return bits;
}
