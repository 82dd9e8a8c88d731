import { Memfd, MemfdFlags } from '@dmabuf-emu/exporter-heap';
import type { Process } from '../process/process.ts';

/** A descriptor for a new file in memory. @kernel memfd_create(2) @throws KernelError EINVAL, ENODEV, EMFILE, ENFILE, ENOMEM */
export function memfdCreate(process: Process, name: string, flags: number): number {
  const memfd = Memfd.create(process.machine, name, flags);
  try {
    return memfd.fd({ cloexec: (flags & MemfdFlags.CLOEXEC) !== 0 });
  } catch (error) {
    memfd.put();
    throw error;
  }
}
