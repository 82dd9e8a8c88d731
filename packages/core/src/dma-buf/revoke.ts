import {
  completion,
  Completion,
  i32,
  type I32Field,
  KernelError,
  type LockField,
  type Machine,
  orUndo,
  refcount,
  refDec,
  refInc,
  syncPoint,
  UsageError,
} from '@dmabuf-emu/shm';
import { ResvUsage } from '../resv/index.ts';
import { type DmaBuf, prepareDmaBufs } from './dma-buf.ts';
import { DRAIN_LABEL } from './internal/damage.ts';
import { checkImporters } from './internal/invalidate.ts';
import { requireNoResv } from './internal/require-resv.ts';
import { reportLateFences, reportLateUnmaps } from './internal/revoke-bound.ts';
import { DmaBufStruct as B } from './internal/structs.ts';

/** Fields that an exporter's struct includes (`...REVOCABLE_FIELDS`) to have its buffers revoked by {@link RevocableExport}. */
export const REVOCABLE_FIELDS: RevocableFields = {
  revoked: i32(),
  mapCount: refcount(),
  drained: completion(DRAIN_LABEL),
};

/** A struct with {@link REVOCABLE_FIELDS} in it. */
export interface RevocableFields {
  readonly revoked: I32Field;
  /** 1 for the exporter and 1 for each mapping. */
  readonly mapCount: I32Field;
  /** Done when `mapCount` reached 0. */
  readonly drained: LockField;
}

/** What an exporter adds to the sequence. Both run with resv held. */
export interface RevokeSteps {
  /** No new mapping can start any more (step 2 is done); importers are told next. */
  onRevoked?(): void;
  /** Every fence is signalled (step 4 is done): nobody may write through an old mapping any more. */
  onFencesRetired?(): void;
}

/** Sets how long, on the machine's clock, revokes wait for fences and for unmaps before they name the culprits. They wait on. */
export function setRevokeBound(machine: Machine, boundMs: number): void {
  if (!(boundMs > 0)) throw new UsageError(`the bound of a revoke must be above 0 ms, got ${boundMs}`);
  prepareDmaBufs(machine).revokeBoundMs = boundMs;
}

/**
 * The part of an exporter that takes its memory back: a flag that stops new mappings, a count of the live ones, and the
 * sequence that waits for both fences and unmaps. A handle over fields of the exporter's struct. Whoever calls
 * {@link revoke} and {@link unrevoke} keeps them apart with a lock of its own, outside resv.
 *
 * | step | resv | |
 * |---|---|---|
 * | 1 | take | |
 * | 2 | held | revoked = true: `map` refuses from now on |
 * | 3 | held | tell every importer |
 * | 4 | held | wait for all fences (BOOKKEEP) |
 * | 5 | drop | unmap needs resv |
 * | 6 | - | drop the base count, wait until the last mapping is gone |
 */
export class RevocableExport {
  readonly machine: Machine;
  readonly #p: number;
  readonly #fields: RevocableFields;

  /** For the struct at word `p`, which {@link init} made ready. */
  constructor(machine: Machine, p: number, fields: RevocableFields) {
    this.machine = machine;
    this.#p = p;
    this.#fields = fields;
  }

  /** Makes the fields of a new struct ready: not revoked, unless `revoked`, and nothing mapped. */
  static init(
    machine: Machine,
    p: number,
    fields: RevocableFields,
    { revoked = false }: { revoked?: boolean } = {},
  ): RevocableExport {
    const revocable = new RevocableExport(machine, p, fields);
    fields.revoked.store(machine.mem, p, revoked ? 1 : 0);
    revocable.rearm();
    return revocable;
  }

  /** Whether `map` has to refuse. @locks resv held for an answer that lasts */
  get revoked(): boolean {
    return this.#fields.revoked.load(this.machine.mem, this.#p) !== 0;
  }

  /** Live mappings, and 1 for the exporter. */
  get mapCount(): number {
    return this.#fields.mapCount.load(this.machine.mem, this.#p);
  }

  /** The exporter's `map` succeeded. @locks resv held */
  mapped(): void {
    refInc(this.machine, this.#p, this.#fields.mapCount);
  }

  /** The exporter's `unmap` is done. @locks resv held */
  unmapped(): void {
    if (refDec(this.machine, this.#p, this.#fields.mapCount)) this.#drained.complete();
  }

  /**
   * Takes the memory back: returns once nobody uses it. False when it was revoked already.
   * Fences that are not signalled, and mappings that are not undone, within the bound are reported once as violations
   * `fence-bound` and `unmap-bound`; the wait goes on, because the memory may be in use.
   * @locks resv not held
   * @throws KernelError EOWNERDEAD when a dead task holds the buffer's lock or mappings that nobody can undo;
   *   UsageError when a driver of an importer (nothing happened then) or of a fence (importers were told, but the buffer is not
   *   revoked) is not registered in this thread.
   */
  revoke(dmabuf: DmaBuf, steps: RevokeSteps = {}): boolean {
    const done = dmabuf.resv.with(() => {
      if (this.revoked) return false;
      trace(dmabuf, 1);
      checkImporters(dmabuf);
      this.#setRevoked(true);
      trace(dmabuf, 2);
      orUndo(
        () => {
          steps.onRevoked?.();
          trace(dmabuf, 3);
          dmabuf.invalidateMappings();
          trace(dmabuf, 4);
          waitFences(dmabuf);
          steps.onFencesRetired?.();
        },
        () => this.#setRevoked(false),
      );
      return true;
    });
    if (!done) return false;
    trace(dmabuf, 5);
    this.unmapped();
    trace(dmabuf, 6);
    this.waitUnmapped(dmabuf);
    this.rearm();
    trace(dmabuf, 7);
    return true;
  }

  /**
   * Gives the memory out again: importers are told once more, and may map when this returns. False when it was not revoked.
   * @locks resv not held
   */
  unrevoke(dmabuf: DmaBuf): boolean {
    if (!this.revoked) return false;
    dmabuf.resv.with(() => {
      checkImporters(dmabuf);
      dmabuf.invalidateMappings();
      waitFences(dmabuf);
    });
    dmabuf.resv.with(() => this.#setRevoked(false));
    return true;
  }

  /** Count and completion as they are in a new struct: the base reference, nothing mapped. */
  rearm(): void {
    this.#fields.mapCount.store(this.machine.mem, this.#p, 1);
    this.#drained.reinit();
  }

  /**
   * Step 6, for exporters that compose the sequence themselves: waits until the last mapping is gone. The base reference must
   * have been dropped with {@link unmapped}.
   * @locks resv not held: unmap needs it
   * @throws KernelError EDEADLK with resv held; EOWNERDEAD when a dead task holds mappings that nobody can undo.
   */
  waitUnmapped(dmabuf: DmaBuf): void {
    const { mem, buffers } = dmabuf.state;
    requireNoResv(dmabuf, 'dma_buf_revoke');
    syncPoint('dma_buf.drain-at');
    B.drainAt.store(mem, buffers.at(dmabuf.ref), this.#drained.at);
    checkUsable(dmabuf);
    if (!withinBound(dmabuf, (timeoutMs) => this.#drained.wait({ timeoutMs, label: DRAIN_LABEL }))) {
      reportLateUnmaps(dmabuf, this.mapCount);
      this.#drained.wait({ label: DRAIN_LABEL });
    }
    checkUsable(dmabuf);
    B.drainAt.store(mem, buffers.at(dmabuf.ref), 0);
  }

  #setRevoked(on: boolean): void {
    syncPoint('dma_buf.revoked', this.#p + this.#fields.revoked.at);
    this.#fields.revoked.store(this.machine.mem, this.#p, on ? 1 : 0);
  }

  get #drained(): Completion {
    return new Completion(this.machine, this.#p + this.#fields.drained.at, DRAIN_LABEL);
  }
}

/** Whoever damages the buffer looks for a revoker after marking it; the revoker looks for the mark after announcing itself. */
function checkUsable(dmabuf: DmaBuf): void {
  const { damagedBy } = dmabuf;
  if (damagedBy === 0) return;
  throw new KernelError(
    'EOWNERDEAD',
    'dma_buf_revoke',
    `task ${damagedBy} died with mappings of buffer ${dmabuf.label}`,
  );
}

/** Step 4. @locks resv held */
function waitFences(dmabuf: DmaBuf): void {
  if (withinBound(dmabuf, (timeoutMs) => dmabuf.resv.wait(ResvUsage.BOOKKEEP, { timeoutMs }) > 0)) return;
  reportLateFences(dmabuf);
  dmabuf.resv.wait(ResvUsage.BOOKKEEP);
}

/** Whether `wait` succeeds within the bound, which may grow meanwhile. */
function withinBound({ machine, state }: DmaBuf, wait: (timeoutMs: number) => boolean): boolean {
  const start = machine.clock.nowMs();
  for (let left = state.revokeBoundMs; left > 0; left = start + state.revokeBoundMs - machine.clock.nowMs()) {
    if (wait(left)) return true;
  }
  return false;
}

function trace(dmabuf: DmaBuf, step: number): void {
  dmabuf.state.trace.emit('dma_buf_revoke', dmabuf.ino, step);
}
