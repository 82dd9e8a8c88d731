/**
 * Called at every lock, wait, wake, publish and allocation of the kernel with a static label and the word concerned
 * (0 when there is none). May block the thread, throw {@link TaskKilled}, or just record.
 */
export type SyncHook = (label: string, at: number) => void;

let hook: SyncHook | null = null;

/** The one place that every step of kernel code passes when it can race. Free when no hook is set. */
export function syncPoint(label: string, at = 0): void {
  if (hook !== null) hook(label, at);
}

/** Sets or clears this thread's hook; returns the former one. */
export function setSyncHook(next: SyncHook | null): SyncHook | null {
  const former = hook;
  hook = next;
  return former;
}
