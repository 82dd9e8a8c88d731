import type { Machine } from '@dmabuf-emu/shm';
import type { Umem } from './umem.ts';

/** Makes the hardware stop using a umem; it has stopped when the function returns. Runs in any task, with resv held. @kernel pinned_revoke */
export type RevokeHook = (umem: Umem) => void;

const KIND = 'umem-revoke';

/** Makes a driver's hook available in the calling thread; returns its machine-wide number. */
export function registerRevokeHook(machine: Machine, name: string, hook: RevokeHook): number {
  return machine.drivers.register(KIND, name, hook);
}

/** Number of the hook of that name. */
export function revokeHookId(machine: Machine, name: string): number {
  return machine.drivers.id(KIND, name);
}

/** The hook with that number. @throws UsageError when the calling thread has not registered it. */
export function revokeHook(machine: Machine, id: number): RevokeHook {
  return machine.drivers.get<RevokeHook>(KIND, id);
}
