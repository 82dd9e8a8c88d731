import { noteFileHolder } from '@dmabuf-emu/core';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, mutexOf } from '@dmabuf-emu/shm';
import type { OpenDevice } from '../device/open-device.ts';
import type { VfioCore } from '../device/vfio-core.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';
import { disableIntx, maskIntx, triggerIntx } from './intx.ts';
import { irqCount } from './irq-info.ts';
import { decodeIrqSet, type IrqSet } from './irq-set-argument.ts';
import { enabledIndex } from './irq-state.ts';
import { disableMessages, triggerMessages } from './message-trigger.ts';
import { type SingleTrigger, triggerSingle } from './single-trigger.ts';
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from './uapi.ts';

/**
 * `ioctl(VFIO_DEVICE_SET_IRQS)` with the bytes that a program passes.
 * @kernel vfio_pci_ioctl_set_irqs
 * @locks takes vfio.igate
 * @throws KernelError EFAULT, EINVAL, ENOTTY (an action that the index does not have), EBADF, ENOSPC, ENOMEM
 */
export function setIrqs(device: OpenDevice, bytes: Uint8Array): void {
  const { core } = device;
  device.check('vfio_pci_ioctl_set_irqs');
  const set = decodeIrqSet(bytes, (index) => irqCount(core, index));
  withIgate(core, () => {
    device.check('vfio_pci_ioctl_set_irqs');
    dispatch(core, set);
  });
}

/** The device is closed: nothing of its interrupts is left. @kernel vfio_pci_core_disable @locks takes vfio.igate */
export function releaseIrqs(core: VfioCore): void {
  withIgate(core, () => {
    const index = enabledIndex(core);
    if (index === VFIO_PCI_INTX_IRQ_INDEX) disableIntx(core);
    else if (index !== null) disableMessages(core);
    errors(core).set(null);
    requests(core).set(null);
  });
}

/** Tells the user that the driver wants the device back; false when he did not ask to be told. @kernel vfio_pci_core_request */
export function requestDevice(core: VfioCore): boolean {
  return requests(core).signal();
}

/** Tells the checks of files what devices hold of them. */
export function noteIrqFiles(machine: Machine, cores: () => readonly VfioCore[]): void {
  noteFileHolder(machine, 'vfio.requests', function* () {
    for (const { p } of cores()) {
      const file = V.requestFile.load(machine.mem, p);
      if (file !== 0) yield file;
    }
  });
}

/** @kernel vfio_pci_set_irqs_ioctl */
function dispatch(core: VfioCore, set: IrqSet): void {
  const { index, action } = set;
  const masks = action === VFIO_IRQ_SET_ACTION_MASK || action === VFIO_IRQ_SET_ACTION_UNMASK;
  if (index === VFIO_PCI_INTX_IRQ_INDEX && masks) return maskIntx(core, set);
  if (action !== VFIO_IRQ_SET_ACTION_TRIGGER) {
    throw new KernelError('ENOTTY', 'vfio_pci_set_irqs_ioctl', `action ${action} of index ${index}`);
  }
  if (index === VFIO_PCI_INTX_IRQ_INDEX) return triggerIntx(core, set);
  if (index === VFIO_PCI_ERR_IRQ_INDEX) return triggerSingle(core, errors(core), set);
  if (index === VFIO_PCI_REQ_IRQ_INDEX) return triggerSingle(core, requests(core), set);
  triggerMessages(core, set);
}

function errors({ fn }: VfioCore): SingleTrigger {
  return {
    get isSet() {
      return fn.notifiesErrors;
    },
    set: (file) => fn.notifyErrors(file),
    signal: () => fn.signalErrors(),
  };
}

function requests({ machine, p }: VfioCore): SingleTrigger {
  const { interrupts } = PciSystem.of(machine);
  const word = p + V.requestFile.at;
  return {
    get isSet() {
      return V.requestFile.load(machine.mem, p) !== 0;
    },
    set: (file) => interrupts.setEventFd(word, file),
    signal: () => interrupts.tell(word),
  };
}

function withIgate(core: VfioCore, fn: () => void): void {
  mutexOf(core.machine, core.p, V.igate).with(fn);
}
