import { KernelError } from '@dmabuf-emu/shm';

/**
 * There was no memory left and the kernel chose the calling process: the call fails as one does that a fatal signal
 * interrupts, and the process does not live on. @kernel out_of_memory
 */
export class OomKill extends KernelError {
  constructor(syscall: string, detail: string) {
    super('EINTR', syscall, detail);
    this.name = 'OomKill';
  }
}
