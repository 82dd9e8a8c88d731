import { KernelBug, KernelError } from '@dmabuf-emu/shm';
import { MemorySignal } from '../../process/memory-signal.ts';
import type { Answer } from '../results/scenario-result.ts';

/** What a call answers that failed as the kernel lets calls fail. @throws anything else */
export function failureOf(error: unknown): Answer {
  if (error instanceof MemorySignal) return { ret: -1, signal: error.signal };
  if (!(error instanceof KernelError) || error instanceof KernelBug) throw error;
  // A call that a signal interrupted would be restarted by the program's C library, or tells EINTR.
  return { ret: -1, errno: error.code === 'ERESTARTSYS' ? 'EINTR' : error.code };
}
