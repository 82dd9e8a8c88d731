import { Completion, isKernelError, KernelError } from '@dmabuf-emu/shm';
import type { Process } from '../process/process.ts';

/** Sleeps on the machine's clock. @kernel nanosleep(2) @throws KernelError EINTR */
export function sleepMs({ machine }: Process, ms: number): void {
  const never = new Completion(machine, machine.root('uapi.sleep', 16), 'nanosleep');
  try {
    never.wait({ timeoutMs: ms, interruptible: true });
  } catch (error) {
    if (!isKernelError(error, 'ERESTARTSYS')) throw error;
    throw new KernelError('EINTR', 'nanosleep', 'a signal is pending');
  }
}
