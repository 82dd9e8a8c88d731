import type { Machine } from '@dmabuf-emu/shm';
import { installFiles } from './files/install-files.ts';

const INSTALLED = Symbol('uapi.installed');

/** Makes the user API's devices and kinds of files available in the calling thread, once. */
export function installUapi(machine: Machine): void {
  machine.local(INSTALLED, () => {
    installFiles(machine);
    return true;
  });
}
