import type { File } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import type { VfioCore } from '../device/vfio-core.ts';
import { withEventFd } from './eventfds.ts';
import type { IrqSet } from './irq-set-argument.ts';

/** The one eventfd of the error or of the request interrupt. */
export interface SingleTrigger {
  readonly isSet: boolean;
  set(file: File | null): void;
  /** Signals it; false when there is none. */
  signal(): boolean;
}

/**
 * TRIGGER of error or request interrupts.
 * @kernel vfio_pci_set_ctx_trigger_single, vfio_pci_set_err_trigger, vfio_pci_set_req_trigger
 * @locks igate held
 * @throws KernelError EINVAL, EBADF
 */
export function triggerSingle(core: VfioCore, trigger: SingleTrigger, { start, count, data }: IrqSet): void {
  const isAsked = data.kind === 'none' || count > 0;
  if (start !== 0 || count > 1 || !isAsked) {
    throw new KernelError('EINVAL', 'vfio_pci_set_ctx_trigger_single', `${count} interrupts from ${start}`);
  }
  if (data.kind === 'eventfd') {
    const fd = data.fds[0]!;
    if (fd === -1) trigger.set(null);
    else if (fd >= 0) withEventFd(core.machine, fd, (file) => trigger.set(file));
  } else if (data.kind === 'bool') {
    if (data.values[0] === true) trigger.signal();
  } else if (!trigger.isSet) {
    throw new KernelError('EINVAL', 'vfio_pci_set_ctx_trigger_single', `${core.fn.bdf} has no eventfd`);
  } else if (count === 0) trigger.set(null);
  else trigger.signal();
}
