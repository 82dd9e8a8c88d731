import { KernelError, withSpin } from '@dmabuf-emu/shm';
import type { DmaBuf } from '../dma-buf.ts';
import { DmaBufStruct as B, MAX_NAME_BYTES } from './structs.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The bytes of the buffer's label; null until one is set, no bytes are one. */
function readNameBytes(dmabuf: DmaBuf): Uint8Array | null {
  const { mem, buffers, machine } = dmabuf.state;
  const p = buffers.at(dmabuf.ref);
  return withSpin(machine, p + B.nameLock.at, () => {
    const size = B.nameSize.get(mem, p);
    return size === 0 ? null : mem.read((p + B.nameBytes.at) * 4, size - 1);
  });
}

/** The buffer's label; null until one is set, '' is one. */
export function readName(dmabuf: DmaBuf): string | null {
  const bytes = readNameBytes(dmabuf);
  return bytes === null ? null : decoder.decode(bytes);
}

/** The label as the kernel's texts show it: one character for each byte. */
export function showName(dmabuf: DmaBuf): string | null {
  const bytes = readNameBytes(dmabuf);
  return bytes === null ? null : String.fromCharCode(...bytes);
}

/** @kernel dma_buf_set_name @throws KernelError EINVAL when it is longer than 31 bytes */
export function writeName(dmabuf: DmaBuf, name: string | Uint8Array): void {
  const { mem, buffers, machine } = dmabuf.state;
  const bytes = typeof name === 'string' ? encoder.encode(name) : name;
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
