import { PciCommand, Reg } from '@dmabuf-emu/pci-iommu';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import { virtualRead } from '../config/virtual-bytes.ts';
import type { VfioCore } from '../device/vfio-core.ts';
import { withEventFd } from './eventfds.ts';
import { enabledIndex, setEnabledIndex } from './irq-state.ts';
import type { IrqSet } from './irq-set-argument.ts';
import { VFIO_IRQ_SET_ACTION_MASK, VFIO_PCI_INTX_IRQ_INDEX } from './uapi.ts';

/**
 * MASK or UNMASK of INTx. An interrupt masks itself; unmasked while the device still asserts it, it is told again.
 * @kernel vfio_pci_set_intx_mask, vfio_pci_set_intx_unmask
 * @locks igate held
 * @throws KernelError EINVAL; ENOTTY for an eventfd that masks or unmasks, which this machine does not have
 */
export function maskIntx(core: VfioCore, { action, start, count, data }: IrqSet): void {
  if (enabledIndex(core) !== VFIO_PCI_INTX_IRQ_INDEX || start !== 0 || count !== 1) {
    throw new KernelError('EINVAL', 'vfio_pci_set_intx_mask', `${count} interrupts from ${start} of ${core.fn.bdf}`);
  }
  if (data.kind === 'eventfd') throw new KernelError('ENOTTY', 'vfio_pci_set_intx_mask', 'with an eventfd');
  if (data.kind === 'bool' && data.values[0] !== true) return;
  if (action === VFIO_IRQ_SET_ACTION_MASK) core.fn.interrupts.mask();
  else core.fn.interrupts.unmask();
}

/**
 * TRIGGER of INTx: enables it with an eventfd, gives it another one, disables it, or signals.
 * @kernel vfio_pci_set_intx_trigger
 * @locks igate held
 * @throws KernelError EINVAL, EBADF, ENOMEM
 */
export function triggerIntx(core: VfioCore, { start, count, data }: IrqSet): void {
  const { interrupts } = core.fn;
  const now = enabledIndex(core);
  const isOn = now === VFIO_PCI_INTX_IRQ_INDEX;
  if (isOn && count === 0 && data.kind === 'none') return disableIntx(core);
  if ((!isOn && now !== null) || start !== 0 || count !== 1) {
    throw new KernelError('EINVAL', 'vfio_pci_set_intx_trigger', `${count} interrupts from ${start} of ${core.fn.bdf}`);
  }
  if (data.kind === 'eventfd') return setSignal(core, data.fds[0]!);
  if (!isOn) throw new KernelError('EINVAL', 'vfio_pci_set_intx_trigger', `INTx of ${core.fn.bdf} is not enabled`);
  if (data.kind === 'none' || data.values[0] === true) interrupts.signal(0);
}

/** @kernel vfio_intx_disable */
export function disableIntx(core: VfioCore): void {
  core.fn.interrupts.disable();
  setEnabledIndex(core, null);
}

/** The user's INTX_DISABLE, which the hardware does not see, masks INTx. @kernel vfio_basic_config_write */
export function followIntxDisable(core: VfioCore, before: number): void {
  if (enabledIndex(core) !== VFIO_PCI_INTX_IRQ_INDEX) return;
  const after = virtualRead(core, Reg.COMMAND, 2);
  if (((before ^ after) & PciCommand.INTX_DISABLE) === 0) return;
  if ((after & PciCommand.INTX_DISABLE) !== 0) core.fn.interrupts.mask();
  else core.fn.interrupts.unmask();
}

/** @kernel vfio_intx_enable, vfio_intx_set_signal */
function setSignal(core: VfioCore, fd: number): void {
  const { interrupts } = core.fn;
  if (enabledIndex(core) === VFIO_PCI_INTX_IRQ_INDEX) {
    if (fd < 0) return interrupts.notify(0, null);
    return withEventFd(core.machine, fd, (file) => interrupts.notify(0, file));
  }
  const enable = (): void => {
    interrupts.enable('intx');
    interrupts.autoMask();
    setEnabledIndex(core, VFIO_PCI_INTX_IRQ_INDEX);
    if ((virtualRead(core, Reg.COMMAND, 2) & PciCommand.INTX_DISABLE) !== 0) interrupts.mask();
  };
  if (fd < 0) return enable();
  withEventFd(core.machine, fd, (file) => {
    enable();
    orUndo(
      () => interrupts.notify(0, file),
      () => disableIntx(core),
    );
  });
}
