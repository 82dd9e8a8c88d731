/**
 * Called at every lock, wait, wake, publish and allocation of the kernel with a static label and the word concerned
 * (0 when there is none). May block the thread, throw {@link TaskKilled}, or just record.
 */
export type SyncHook = (label: string, at: number) => void;

/** A property that was never written since: V8 takes it for a constant, and a sync point for nothing at all. */
const current: { hook: SyncHook | null } = { hook: null };

/** The one place that every step of kernel code passes when it can race. Free when no hook is set. */
export function syncPoint(label: string, at = 0): void {
  if (current.hook !== null) current.hook(label, at);
}

/** Whether this thread has a hook, for paths that must compute the word to name. */
export function isSyncHooked(): boolean {
  return current.hook !== null;
}

/** Sets or clears this thread's hook; returns the former one. */
export function setSyncHook(next: SyncHook | null): SyncHook | null {
  const former = current.hook;
  current.hook = next;
  return former;
}
