import { orUndo, TaskKilled } from '@dmabuf-emu/shm';
import { fenceArrayCreate } from '../../fence/array.ts';
import { describe, setDeadline } from '../../fence/internal/status.ts';
import { getFence, putFence } from '../../fence/internal/refs.ts';
import { wait } from '../../fence/internal/wait.ts';
import { ResvCursor } from '../cursor.ts';
import { ResvUsage, usageName } from '../usage.ts';
import { ENTRIES, NUM, ResvStruct as R } from './layout.ts';
import { allocList, freeList, publishList } from './list.ts';
import { entryOf, type ResvTable, usageOf } from './table.ts';

/*
 * What looks at a whole reservation object. Only forEach and describe need the lock.
 */

/** Visits the fences of a class and stronger, signalled ones too, in slot order; the caller holds the lock. @kernel dma_resv_for_each_fence */
export function forEach(
  t: ResvTable,
  p: number,
  usage: ResvUsage,
  visit: (fence: number, usage: ResvUsage) => void,
): void {
  const { i32 } = t.mem;
  const list = R.list.get(t.mem, p);
  const num = list === 0 ? 0 : i32[list + NUM]!;
  for (let i = 0; i < num; i++) {
    const entry = i32[list + ENTRIES + i]!;
    if (usageOf(entry) <= usage) visit(t.fenceOf(entry), usageOf(entry));
  }
}

/** Walks without the lock; leaves the cursor in order when `visit` throws. `visit` returns false to stop. */
function walk(cursor: ResvCursor, visit: (fence: number) => boolean): void {
  try {
    for (let fence = cursor.first(); fence !== 0; fence = cursor.next()) if (!visit(fence)) break;
  } catch (error) {
    if (!(error instanceof TaskKilled)) cursor.end();
    throw error;
  }
  cursor.end();
}

/** Refs of the unsignalled fences of a class and stronger, with a reference each. @kernel dma_resv_get_fences */
export function getFences(t: ResvTable, ref: number, usage: ResvUsage): number[] {
  const found: number[] = [];
  const forget = (): void => {
    for (const fence of found.splice(0)) putFence(t.fences, fence);
  };
  const cursor = new ResvCursor(t.machine, ref, usage);
  orUndo(
    () =>
      walk(cursor, (fence) => {
        if (cursor.isRestarted) {
          forget();
          if (t.machine.faults.armed) t.machine.faults.check('dma_resv_get_fences');
        }
        getFence(t.fences, fence);
        found.push(fence);
        return true;
      }),
    forget,
  );
  return found;
}

/** One fence for the unsignalled fences of a class and stronger, with a reference; 0 for none. @kernel dma_resv_get_singleton */
export function getSingleton(t: ResvTable, ref: number, usage: ResvUsage): number {
  const found = getFences(t, ref, usage);
  if (found.length <= 1) return found[0] ?? 0;
  return orUndo(
    () => fenceArrayCreate(t.machine, found),
    () => {
      for (const fence of found) putFence(t.fences, fence);
    },
  );
}

/**
 * Replaces the fences of `p`, whose lock is held, by the unsignalled ones of `source`, whose lock is not needed.
 * @throws KernelError ENOMEM, with nothing changed.
 * @kernel dma_resv_copy_fences
 */
export function copyFences(t: ResvTable, p: number, source: number): void {
  const { i32 } = t.mem;
  let list = 0;
  const forget = (): void => {
    freeList(t, list);
    list = 0;
  };
  const cursor = new ResvCursor(t.machine, source, ResvUsage.BOOKKEEP);
  orUndo(
    () =>
      walk(cursor, (fence) => {
        if (cursor.isRestarted) {
          forget();
          list = allocList(t, cursor.count, 'dma_resv_copy_fences');
        }
        getFence(t.fences, fence);
        const num = i32[list + NUM]!;
        i32[list + ENTRIES + num] = entryOf(fence, cursor.usage);
        i32[list + NUM] = num + 1;
        return true;
      }),
    forget,
  );
  const old = R.list.get(t.mem, p);
  publishList(t, p, list);
  freeList(t, old);
}

/**
 * Waits for the fences of a class and stronger, one after the other.
 * @returns what is left of the timeout, 0 when it passed, 1 for a timeout of 0 and nothing to wait for.
 * @kernel dma_resv_wait_timeout
 */
export function waitFences(
  t: ResvTable,
  ref: number,
  usage: ResvUsage,
  interruptible: boolean,
  timeoutMs: number,
): number {
  let left = timeoutMs === 0 ? 1 : timeoutMs;
  walk(new ResvCursor(t.machine, ref, usage), (fence) => {
    left = wait(t.fences, fence, t.fences.slab.at(fence), interruptible, timeoutMs === 0 ? 0 : left);
    return left > 0;
  });
  return left;
}

/** Whether nothing of a class and stronger is unsignalled. @kernel dma_resv_test_signaled */
export function testSignaled(t: ResvTable, ref: number, usage: ResvUsage): boolean {
  let none = true;
  walk(new ResvCursor(t.machine, ref, usage), () => (none = false));
  return none;
}

/** @kernel dma_resv_set_deadline */
export function setDeadlines(t: ResvTable, ref: number, usage: ResvUsage, deadlineNs: number): void {
  walk(new ResvCursor(t.machine, ref, usage), (fence) => {
    setDeadline(t.fences, fence, t.fences.slab.at(fence), deadlineNs);
    return true;
  });
}

/** One line a fence; BOOKKEEP ones are not shown. The caller holds the lock. @kernel dma_resv_describe */
export function describeAll(t: ResvTable, p: number): string {
  let text = '';
  forEach(t, p, ResvUsage.READ, (fence, usage) => {
    text += `\t${usageName(usage)} fence:${describe(t.fences, fence, t.fences.slab.at(fence))}`;
  });
  return text;
}
