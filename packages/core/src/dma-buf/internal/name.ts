import { KernelError } from '@dmabuf-emu/shm';
import { withSpin } from '../../internal/with-spin.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { DmaBufStruct as B, MAX_NAME_BYTES } from './structs.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The buffer's label; null until one is set, '' is one. */
export function readName(dmabuf: DmaBuf): string | null {
  const { mem, buffers, machine } = dmabuf.state;
  const p = buffers.at(dmabuf.ref);
  return withSpin(machine, p + B.nameLock.at, () => {
    const size = B.nameSize.get(mem, p);
    return size === 0 ? null : decoder.decode(mem.read((p + B.nameBytes.at) * 4, size - 1));
  });
}

/** @kernel dma_buf_set_name @throws KernelError EINVAL when it is longer than 31 bytes */
export function writeName(dmabuf: DmaBuf, name: string): void {
  const { mem, buffers, machine } = dmabuf.state;
  const bytes = encoder.encode(name);
  if (bytes.length > MAX_NAME_BYTES) {
    throw new KernelError(
      'EINVAL',
      'dma_buf_set_name',
      `a name has at most ${MAX_NAME_BYTES} bytes, got ${bytes.length}`,
    );
  }
  const p = buffers.at(dmabuf.ref);
  withSpin(machine, p + B.nameLock.at, () => {
    mem.write((p + B.nameBytes.at) * 4, bytes);
    B.nameSize.set(mem, p, bytes.length + 1);
  });
}
