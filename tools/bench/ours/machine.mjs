// Machines for measuring: nothing checked that a user would not have checked in production.
import { built } from '../lib/not-wired.mjs';

export const FAST = { lockdep: false, debugObjects: false };

/** A machine of this thread; `options` as for Machine.create. */
export async function createMachine(options = {}) {
  const { Machine } = await built('shm', ['Machine']);
  return Machine.create({ ...FAST, ...options });
}

/** The machine behind a handle, joined by this thread. */
export async function joinMachine(handle, name) {
  const { Machine } = await built('shm', ['Machine']);
  return Machine.join(handle, { name });
}
