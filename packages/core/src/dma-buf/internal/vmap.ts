import { isKernelError, KernelError } from '@dmabuf-emu/shm';
import type { DmaBuf } from '../dma-buf.ts';
import type { KernelMapping } from '../kernel-mapping.ts';
import { requireResv } from './require-resv.ts';
import { DmaBufStruct as B } from './structs.ts';

/** The first user's mapping is made by the exporter, the others share it. @kernel dma_buf_vmap @locks resv held */
export function vmap(dmabuf: DmaBuf): KernelMapping {
  const { machine, exporter, state } = dmabuf;
  const { mem } = machine;
  requireResv(dmabuf, 'dma_buf_vmap');
  if (exporter.vmap === undefined) {
    throw new KernelError('EINVAL', 'dma_buf_vmap', `exporter ${exporter.name} cannot map into the kernel`);
  }
  const p = state.buffers.at(dmabuf.ref);
  const count = B.vmapCount.get(mem, p);
  const cached = B.vmapAddress.get(mem, p);
  if (count > 0) {
    if (cached === 0) machine.diag.bug('dma_buf_vmap', `buffer ${dmabuf.label} has ${count} vmaps but no address`);
    B.vmapCount.set(mem, p, count + 1);
    return { address: cached, isIomem: B.vmapIsIomem.get(mem, p) !== 0 };
  }
  if (cached !== 0) machine.diag.bug('dma_buf_vmap', `buffer ${dmabuf.label} has an address but no vmaps`);
  const mapping = firstVmap(dmabuf);
  B.vmapAddress.set(mem, p, mapping.address);
  B.vmapIsIomem.set(mem, p, mapping.isIomem ? 1 : 0);
  B.vmapCount.set(mem, p, 1);
  return { address: mapping.address, isIomem: mapping.isIomem };
}

/** The last user's unmap reaches the exporter. @kernel dma_buf_vunmap @locks resv held @throws KernelBug when it is not balanced */
export function vunmap(dmabuf: DmaBuf, mapping: KernelMapping): void {
  const { machine, exporter, state } = dmabuf;
  const { mem } = machine;
  requireResv(dmabuf, 'dma_buf_vunmap');
  const p = state.buffers.at(dmabuf.ref);
  const count = B.vmapCount.get(mem, p);
  const cached = { address: B.vmapAddress.get(mem, p), isIomem: B.vmapIsIomem.get(mem, p) !== 0 };
  if (cached.address === 0 || count === 0) {
    machine.diag.bug('dma_buf_vunmap', `buffer ${dmabuf.label} is not mapped into the kernel`);
  }
  if (mapping.address !== cached.address || mapping.isIomem !== cached.isIomem) {
    machine.diag.bug(
      'dma_buf_vunmap',
      `buffer ${dmabuf.label} is mapped at ${cached.address}, not at ${mapping.address}`,
    );
  }
  B.vmapCount.set(mem, p, count - 1);
  if (count > 1) return;
  exporter.vunmap?.(dmabuf, cached);
  B.vmapAddress.set(mem, p, 0);
  B.vmapIsIomem.set(mem, p, 0);
}

function firstVmap(dmabuf: DmaBuf): KernelMapping {
  const { machine, exporter } = dmabuf;
  try {
    return exporter.vmap!(dmabuf);
  } catch (error) {
    if (isKernelError(error)) {
      machine.diag.warnOnce(
        'dma_buf_vmap',
        `exporter ${exporter.name} could not map a buffer into the kernel: ${error.message}`,
      );
    }
    throw error;
  }
}
