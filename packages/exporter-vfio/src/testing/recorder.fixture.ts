import type { DmaBuf } from '@dmabuf-emu/core';
import { onImporterStep } from '#dist/testing/importer.test-worker.js';
import { type Machine, setSyncHook } from '@dmabuf-emu/shm';

/** What a {@link record} watches: names for words of locks. */
export interface Watched {
  readonly machine: Machine;
  readonly locks: Readonly<Record<string, number>>;
  /** Events of the machine's trace that are of interest, with what to call them. */
  readonly events: Readonly<Record<string, string | ((args: readonly number[]) => string | undefined)>>;
}

/**
 * The steps that `fn` takes in this thread, in order: `L(x)` and `U(x)` of the locks that have names, events, and what the test
 * importers do. The machine must trace.
 */
export function record({ machine, locks, events }: Watched, fn: () => void): string[] {
  const steps: string[] = [];
  const names = new Map(Object.entries(locks).map(([name, at]) => [at, name]));
  const former = setSyncHook((label, at) => {
    const name = names.get(at);
    if (name === undefined) return;
    if (label === 'rwsem.lock' || label === 'ww_mutex.lock') steps.push(`L(${name})`);
    else if (label === 'rwsem.unlock' || label === 'ww_mutex.unlock') steps.push(`U(${name})`);
  });
  const { trace } = machine;
  const original = trace.event.bind(trace);
  trace.event = (...event) => {
    original(...event);
    const [id, ...args] = event;
    const shown = events[machine.string(id)];
    const text = typeof shown === 'function' ? shown(args.map((arg) => arg ?? 0)) : shown;
    if (text !== undefined) steps.push(text);
  };
  onImporterStep((step) => steps.push(`importer: ${step}`));
  try {
    fn();
  } finally {
    trace.event = original;
    onImporterStep(null);
    setSyncHook(former);
  }
  return steps;
}

/** Word of a buffer's reservation lock. */
export function resvWord(dmabuf: DmaBuf): number {
  let word = 0;
  const former = setSyncHook((label, at) => {
    if (label === 'ww_mutex.lock') word = at;
  });
  dmabuf.resv.with(() => undefined);
  setSyncHook(former);
  return word;
}
