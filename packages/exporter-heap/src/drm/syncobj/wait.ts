import { atomicLoad, FOREVER, KernelError, type Machine, orUndo, TaskKilled } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { requireFlags, withSyncobjs } from './handles.ts';
import { Syncobj } from './syncobj.ts';
import { eventWord, reapEntries, WaitEntry } from './wait-entries.ts';
import { SyncobjWaitFlags as Flags } from './wait-flags.ts';

/** @kernel drm_syncobj_wait, drm_syncobj_timeline_wait */
export interface SyncobjWait {
  readonly handles: readonly number[];
  /** A point for each handle; a timeline wait has them. */
  readonly points?: readonly number[];
  /** When to give up, in nanoseconds of the machine's clock; 0 or past: only look. */
  readonly timeoutNs: number;
  readonly flags?: number;
  /** Of use with flag WAIT_DEADLINE. */
  readonly deadlineNs?: number;
}

/** What a wait for all says when none had signalled at first. */
const NONE = 0xffff_ffff;

/**
 * SYNCOBJ_WAIT, SYNCOBJ_TIMELINE_WAIT
 * @returns index of the first handle that had signalled; 2^32-1 where a wait for all began with none, null without handles.
 * @kernel drm_syncobj_wait_ioctl, drm_syncobj_timeline_wait_ioctl
 * @throws KernelError EOPNOTSUPP, EINVAL (flags; nothing submitted and no flag to wait for that), ENOENT, ETIME, ERESTARTSYS,
 *   ENOMEM
 */
export function waitSyncobjs(file: OpenFile, request: SyncobjWait): number | null {
  const { handles, points, flags = 0 } = request;
  const call = points === undefined ? 'drm_syncobj_wait_ioctl' : 'drm_syncobj_timeline_wait_ioctl';
  file.device.requireSyncobj(call);
  const common = Flags.WAIT_ALL | Flags.WAIT_FOR_SUBMIT | Flags.WAIT_DEADLINE;
  requireFlags(call, flags, points === undefined ? common : common | Flags.WAIT_AVAILABLE);
  if (handles.length === 0) return null;
  // The entries hold the objects from here on, so that nothing is lost when the task dies in its sleep.
  const entries = withSyncobjs(file, handles, call, (syncobjs) => makeEntries(syncobjs, points));
  return freeingAfter(entries, () => new Wait(file.machine, entries, request).run());
}

/**
 * What has to signal for a point, with a reference. @kernel drm_syncobj_find_fence
 * @param flags WAIT_FOR_SUBMIT, up to {@link SUBMIT_TIMEOUT_MS}, or nothing
 * @throws KernelError EINVAL (flags, not submitted), ETIME, ERESTARTSYS, ENOMEM
 */
export function waitForPoint(syncobj: Syncobj, point: number, flags: number): number {
  const found = syncobj.findPoint(point);
  if (found !== undefined) return found;
  const call = 'drm_syncobj_find_fence';
  if (flags === 0) throw new KernelError('EINVAL', call, `point ${point} has not been submitted`);
  const { machine } = syncobj;
  const [entry] = makeEntries([syncobj], [point]) as [WaitEntry];
  return freeingAfter([entry], () => {
    const timeoutNs = machine.clock.nowNs() + SUBMIT_TIMEOUT_MS * 1e6;
    entry.list();
    new Sleep(machine, timeoutNs, call).until(() => entry.fence !== undefined);
    return entry.fence!.get().ref;
  });
}

/** @kernel DRM_SYNCOBJ_WAIT_FOR_SUBMIT_TIMEOUT */
const SUBMIT_TIMEOUT_MS = 5000;

/** One wait on its way. @kernel drm_syncobj_array_wait_timeout */
class Wait {
  readonly #machine: Machine;
  readonly #entries: readonly WaitEntry[];
  readonly #request: SyncobjWait;
  readonly #flags: number;
  readonly #listening = new Set<WaitEntry>();
  #first = NONE;

  constructor(machine: Machine, entries: readonly WaitEntry[], request: SyncobjWait) {
    this.#machine = machine;
    this.#entries = entries;
    this.#request = request;
    this.#flags = request.flags ?? 0;
  }

  run(): number {
    if (this.#lookAtAll()) return this.#first;
    if (this.#waitsForSubmit) for (const entry of this.#entries) entry.list();
    const { deadlineNs = 0, timeoutNs } = this.#request;
    if ((this.#flags & Flags.WAIT_DEADLINE) !== 0) {
      for (const { fence } of this.#entries) fence?.setDeadline(deadlineNs);
    }
    new Sleep(this.#machine, timeoutNs, 'drm_syncobj_wait').until(() => this.#isDone());
    return this.#first;
  }

  /** Fences that are there, and whether that is enough already. */
  #lookAtAll(): boolean {
    let signaled = 0;
    for (const [i, entry] of this.#entries.entries()) {
      if (!entry.look()) {
        if (this.#waitsForSubmit) continue;
        throw new KernelError('EINVAL', 'drm_syncobj_wait', `nothing was submitted for handle number ${i}`);
      }
      if (!this.#isAvailable && !entry.fence!.isSignaled()) continue;
      if (signaled++ === 0) this.#first = i;
    }
    return signaled === this.#entries.length || (signaled > 0 && !this.#all);
  }

  /** Whether it may end now; where a fence may still signal, the task will be woken. */
  #isDone(): boolean {
    let signaled = 0;
    for (const [i, entry] of this.#entries.entries()) {
      if (!this.#isReady(entry)) continue;
      signaled++;
      if (this.#all) continue;
      this.#first = i;
      return true;
    }
    return signaled === this.#entries.length;
  }

  #isReady(entry: WaitEntry): boolean {
    const { fence } = entry;
    if (fence === undefined) return false;
    if (this.#isAvailable || fence.isSignaled()) return true;
    if (this.#listening.has(entry)) return false;
    this.#listening.add(entry);
    return !fence.addCallback(entry.callback);
  }

  get #all(): boolean {
    return (this.#flags & Flags.WAIT_ALL) !== 0;
  }

  get #isAvailable(): boolean {
    return (this.#flags & Flags.WAIT_AVAILABLE) !== 0;
  }

  get #waitsForSubmit(): boolean {
    return (this.#flags & (Flags.WAIT_FOR_SUBMIT | Flags.WAIT_AVAILABLE)) !== 0;
  }
}

/** Sleeps until something is true that the task's event word announces. */
class Sleep {
  readonly #machine: Machine;
  readonly #timeoutNs: number;
  readonly #call: string;

  constructor(machine: Machine, timeoutNs: number, call: string) {
    this.#machine = machine;
    this.#timeoutNs = timeoutNs;
    this.#call = call;
  }

  /** @throws KernelError ETIME, ERESTARTSYS */
  until(condition: () => boolean): void {
    const { mem, clock } = this.#machine;
    const event = eventWord(this.#machine);
    for (;;) {
      const seen = atomicLoad(mem, event);
      if (condition()) return;
      const left = (this.#timeoutNs - clock.nowNs()) / 1e6;
      if (!(left > 0)) throw new KernelError('ETIME', this.#call, 'the time is up');
      if (this.#machine.signalPending) throw new KernelError('ERESTARTSYS', this.#call, 'a signal is pending');
      this.#machine.wait(event, seen, this.#call, Number.isFinite(left) ? left : FOREVER, true);
    }
  }
}

function makeEntries(syncobjs: readonly Syncobj[], points?: readonly number[]): WaitEntry[] {
  const entries: WaitEntry[] = [];
  try {
    for (const [i, syncobj] of syncobjs.entries()) {
      orUndo(
        () => entries.push(WaitEntry.create(syncobj.get(), points?.[i] ?? 0)),
        () => syncobj.put(),
      );
    }
  } catch (error) {
    if (!(error instanceof TaskKilled)) for (const entry of entries) freeEntry(entry);
    throw error;
  }
  return entries;
}

function freeingAfter<T>(entries: readonly WaitEntry[], fn: () => T): T {
  let result: T;
  try {
    result = fn();
  } catch (error) {
    if (!(error instanceof TaskKilled)) for (const entry of entries) freeEntry(entry);
    throw error;
  }
  for (const entry of entries) freeEntry(entry);
  return result;
}

function freeEntry(entry: WaitEntry): void {
  const { machine, syncobj } = entry;
  entry.free();
  Syncobj.of(machine, syncobj.ref).put();
}

/** Ends what a dead task waited for, and wakes those whom it was about to wake. */
export function reapWaits(machine: Machine, dead: number): void {
  for (const entry of reapEntries(machine, dead)) freeEntry(entry);
}
