import { isKernelError, KernelError } from '@dmabuf-emu/shm';
import type { VfioCore } from '../device/vfio-core.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';
import { withEventFd } from './eventfds.ts';
import { enabledIndex, setEnabledIndex } from './irq-state.ts';
import type { IrqSet } from './irq-set-argument.ts';
import { VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX } from './uapi.ts';

/**
 * TRIGGER of MSI or MSI-X: gives vectors eventfds, enables or disables them all, or signals what is enabled.
 * @kernel vfio_pci_set_msi_trigger
 * @locks igate held
 * @throws KernelError EINVAL, EBADF, ENOSPC, ENOMEM; nothing is enabled that was not before
 */
export function triggerMessages(core: VfioCore, { index, start, count, data }: IrqSet): void {
  const now = enabledIndex(core);
  if (now === index && count === 0 && data.kind === 'none') return disableMessages(core);
  if (now !== index && now !== null) throw invalid(core, `interrupts of index ${now} are enabled`);
  if (data.kind === 'eventfd') {
    if (now === index) return setBlock(core, start, data.fds);
    enableMessages(core, index, start + count);
    try {
      setBlock(core, start, data.fds);
    } catch (error) {
      if (isKernelError(error)) disableMessages(core);
      throw error;
    }
    return;
  }
  if (now !== index) throw invalid(core, `interrupts of index ${index} are not enabled`);
  for (let i = 0; i < count; i++) {
    const wanted = data.kind === 'none' || data.values[i] === true;
    if (wanted && start + i < core.fn.interrupts.vectors) core.fn.interrupts.signal(start + i);
  }
}

/** @kernel vfio_msi_disable */
export function disableMessages(core: VfioCore): void {
  core.fn.interrupts.disable();
  V.msiQmax.store(core.machine.mem, core.p, 0);
  setEnabledIndex(core, null);
}

/** @kernel vfio_msi_enable */
function enableMessages(core: VfioCore, index: number, vectors: number): void {
  core.fn.interrupts.enable(index === VFIO_PCI_MSIX_IRQ_INDEX ? 'msix' : 'msi', vectors);
  setEnabledIndex(core, index);
  if (index !== VFIO_PCI_MSI_IRQ_INDEX) return;
  V.msiQmax.store(core.machine.mem, core.p, Math.ceil(Math.log2(vectors)));
}

/** On failure those vectors have no eventfd that got one. @kernel vfio_msi_set_block */
function setBlock(core: VfioCore, start: number, fds: readonly number[]): void {
  let done = 0;
  try {
    for (; done < fds.length; done++) setVector(core, start + done, fds[done]!);
  } catch (error) {
    if (isKernelError(error)) for (let i = 0; i < done; i++) setVector(core, start + i, -1);
    throw error;
  }
}

/** A vector loses its eventfd before the new one is looked up. @kernel vfio_msi_set_vector_signal */
function setVector(core: VfioCore, vector: number, fd: number): void {
  const { interrupts } = core.fn;
  if (vector < interrupts.vectors) interrupts.notify(vector, null);
  if (fd < 0) return;
  if (vector >= interrupts.vectors) interrupts.extend(vector + 1);
  withEventFd(core.machine, fd, (file) => interrupts.notify(vector, file));
}

function invalid(core: VfioCore, detail: string): KernelError {
  return new KernelError('EINVAL', 'vfio_pci_set_msi_trigger', `${core.fn.bdf}: ${detail}`);
}
