import { atomicLoad, type Slab, taskIsRunning, type VerifyBuilder } from '@dmabuf-emu/shm';
import { CallbackStruct as C, FenceStruct as F, LOCK, REF_SHIFT, SIGNALED, STATE } from './layout.ts';
import type { FenceTable } from './table.ts';

/** Checks the fences of a quiet machine: every reference that the arena holds is counted, and nothing else is left over. */
export function verifyFences(t: FenceTable, report: VerifyBuilder): void {
  const held = new Map<number, number>();
  const hold = (ref: number): void => void held.set(ref, (held.get(ref) ?? 0) + 1);
  for (const enumerate of t.holders.values()) enumerate(hold);
  const stub = atomicLoad(t.mem, t.stubAt);
  if (stub !== 0) hold(stub);
  const owned = new Set<number>();
  for (const enumerate of t.callbackHolders.values()) enumerate((cb) => void owned.add(cb));
  for (const cb of t.callbacks.live()) {
    verifyCallback(t, cb, hold, report);
    if (!owned.has(cb)) reportLeft(t, t.callbacks, cb, `callback #${cb >>> 0} was never freed`, report);
  }
  for (const ref of t.slab.live()) {
    const p = t.slab.at(ref);
    const state = atomicLoad(t.mem, p + STATE);
    const refs = state >>> REF_SHIFT;
    const known = held.get(ref) ?? 0;
    held.delete(ref);
    report.count((state & SIGNALED) === 0 ? 'fence:active' : 'fence:signalled', 1);
    if ((state & LOCK) !== 0) report.error(`${name(t, ref, p)}: its lock is held on a quiet machine`);
    if (refs < known) blame(t, `${name(t, ref, p)}: ${known} references are held, ${refs} counted`, report);
    else if (refs > known)
      reportLeft(t, t.slab, ref, `${name(t, ref, p)}: ${refs - known} references belong to nobody`, report);
    else if (refs === 0) reportLeft(t, t.slab, ref, `${name(t, ref, p)}: was never initialised or freed`, report);
  }
  for (const ref of held.keys()) blame(t, `a reference to fence #${ref >>> 0}, which does not exist, is held`, report);
}

/** A task that died while it dropped references may have left one too few. */
function blame(t: FenceTable, text: string, report: VerifyBuilder): void {
  if (t.machine.tasks().some((task) => task.state === 'dead')) report.damage('dma_fence', text);
  else report.error(text);
}

function verifyCallback(t: FenceTable, cb: number, hold: (ref: number) => void, report: VerifyBuilder): void {
  const c = t.callbacks.at(cb);
  const posted = C.posted.get(t.mem, c);
  if (posted !== 0) hold(posted);
  const queued = C.fence.load(t.mem, c);
  if (queued !== 0 && t.slab.tryAt(queued) === 0)
    report.error(`callback #${cb >>> 0} is on a fence that does not exist`);
}

/** Files what is left over: damage once any task has died, in use while its maker runs elsewhere, else a leak. */
export function reportLeft(t: FenceTable, slab: Slab, ref: number, text: string, report: VerifyBuilder): void {
  const last = slab.lastTouch(ref);
  const kind = slab.struct.$name;
  const from = last === undefined ? '' : `, from ${last.site} by task ${last.task}`;
  if (t.machine.tasks().some((task) => task.state === 'dead')) report.damage(kind, text + from);
  else if (last !== undefined && last.task !== t.machine.tid && taskIsRunning(t.machine, last.task))
    report.count(`${kind}:in-use`, 1);
  else report.leak(kind, text + from);
}

function name(t: FenceTable, ref: number, p: number): string {
  const [context, seqno] = [F.context.get(t.mem, p) >>> 0, F.seqno.get(t.mem, p)];
  return `fence #${ref >>> 0} ${context}:${seqno}`;
}
