import { isKernelError } from '@dmabuf-emu/shm';
import type { CounterName } from '../board/board-structs.ts';
import { PHASE_RUNNING } from '../board/board.ts';
import type { BufferPlan, ControllerPlan } from '../plan/run-plan.ts';
import { type ExportedPlace, HeldBuffer } from './held-buffer.ts';
import type { RoleContext } from './role-context.ts';
import { Timeline, type Happening } from './timeline.ts';

/** Longest time without a sign of life. */
const NAP_MS = 200;
/** How long the importers get to leave before the exporter closes under them. */
const LEAVE_MS = 3000;

/** What may happen to a buffer's memory, and how the user of an exporter makes it happen. */
export interface ExporterUser<T extends string> {
  /** Known once the device is open. */
  readonly happenings: readonly Happening<T>[];
  open(): void;
  exportBuffer(plan: BufferPlan): ExportedPlace;
  /**
   * A buffer was lost: nobody can tell when its memory is unused, so the next one at this place needs other memory.
   * False when there is none left.
   */
  moveAway(plan: BufferPlan): boolean;
  /** Makes one thing happen. */
  fire(what: T): void;
  /** Everything was given back; switches the device off. */
  close(): void;
}

/**
 * The user of an exporter: exports buffers, offers them on the board, and at random moments takes them away and gives them
 * back, checking each time what must hold. Blocking is its way of life; it has a thread of its own.
 */
export class Controller<T extends string> {
  readonly context: RoleContext;
  readonly plan: ControllerPlan;
  readonly buffers = new Map<number, HeldBuffer>();
  /** Places for which there is no memory left. */
  readonly #closed = new Set<number>();
  #user: ExporterUser<T> | undefined;

  constructor(context: RoleContext, plan: ControllerPlan) {
    this.context = context;
    this.plan = plan;
  }

  run(user: ExporterUser<T>): void {
    const { board, record, machine, random } = this.context;
    this.#user = user;
    record.doing('opening the device');
    this.context.patiently(() => user.open());
    this.exportAll();
    record.start();
    while (board.phase < PHASE_RUNNING) {
      record.doing('waiting for the start');
      board.waitUntil(() => board.phase >= PHASE_RUNNING, NAP_MS);
    }
    const timeline = new Timeline(user.happenings, random.fork('timeline'), machine.clock.nowMs());
    while (!board.stopping) {
      this.#replaceLost();
      const what = timeline.take(machine.clock.nowMs());
      if (what === undefined) {
        record.doing('waiting');
        const nap = Math.min(NAP_MS, timeline.untilNext(machine.clock.nowMs()));
        board.waitUntil(() => board.stopping || this.#anyLost(), Math.max(0.1, nap));
        continue;
      }
      record.doing(what);
      this.context.traced(`stress.${what}`, this.plan.role, () => user.fire(what));
    }
    this.#leave(user);
  }

  /** Exports every buffer that is not held and puts it on the board. */
  exportAll(): void {
    for (const plan of this.plan.buffers) {
      if (!this.buffers.has(plan.index) && !this.#closed.has(plan.index)) this.exportOne(plan);
    }
  }

  exportOne(plan: BufferPlan): HeldBuffer {
    const { context } = this;
    context.record.doing('exporting', plan.index);
    const { dmabuf, ranges } = context.patiently(() => this.#user!.exportBuffer(plan));
    const held = new HeldBuffer(context, plan, dmabuf, ranges);
    this.buffers.set(plan.index, held);
    held.watch(this.plan.witness);
    held.publish();
    return held;
  }

  /** Takes a buffer off the board and gives it back. */
  dropOne(index: number): void {
    this.buffers.get(index)?.drop();
    this.buffers.delete(index);
  }

  dropAll(): void {
    for (const index of this.buffers.keys()) this.dropOne(index);
  }

  /** Runs one revoke and measures it. */
  revoke(counter: CounterName, fn: () => void): void {
    const { record, machine } = this.context;
    const start = machine.clock.nowNs();
    fn();
    record.revokeNs.record(machine.clock.nowNs() - start);
    record.count('revokes');
    record.count(counter);
  }

  /** Calls `fn` for each of some buffers; one that was lost to a dead task will be replaced. */
  each(buffers: Iterable<HeldBuffer>, fn: (held: HeldBuffer) => void): void {
    for (const held of buffers) {
      try {
        fn(held);
      } catch (error) {
        if (!isKernelError(error, 'EOWNERDEAD')) throw error;
        this.#lose(held);
      }
    }
  }

  #anyLost(): boolean {
    for (const held of this.buffers.values()) if (this.#isLost(held)) return true;
    return false;
  }

  #lose(held: HeldBuffer): void {
    held.slot.reportLost();
    this.context.board.loseBuffer(held.dmabuf.ino);
  }

  #isLost(held: HeldBuffer): boolean {
    return held.slot.isLost || held.dmabuf.damagedBy !== 0;
  }

  /** A buffer whose lock died with its holder is of no use to anybody: another takes its place. */
  #replaceLost(): void {
    for (const held of Array.from(this.buffers.values())) {
      if (!this.#isLost(held)) continue;
      this.context.record.doing('replacing a lost buffer', held.plan.index);
      this.context.record.count('lost');
      this.#lose(held);
      this.dropOne(held.plan.index);
      if (this.#user!.moveAway(held.plan)) this.exportOne(held.plan);
      else this.#closed.add(held.plan.index);
    }
  }

  #leave(user: ExporterUser<T>): void {
    const { board, record, machine } = this.context;
    const deadline = machine.clock.nowMs() + LEAVE_MS;
    while (!board.enginesGone && machine.clock.nowMs() < deadline) {
      record.doing('waiting for the importers to leave');
      board.waitUntil(() => board.enginesGone, NAP_MS);
    }
    for (const held of this.buffers.values()) if (this.#isLost(held)) this.#lose(held);
    record.doing('closing');
    this.dropAll();
    user.close();
  }
}
