import type { DmaBuf } from '@dmabuf-emu/core';
import type { Importer, Session, StepResult } from '@dmabuf-emu/importers';
import { ERRNO, isKernelError, KernelBug, type KernelError } from '@dmabuf-emu/shm';
import type { BufferSlot } from '../board/buffer-slot.ts';
import type { EnginePlan, UsePlan } from '../plan/run-plan.ts';
import { isRevoked } from './is-revoked.ts';
import type { RoleContext } from './role-context.ts';

/** Whether it is worth while to come again soon. */
export type Turn = 'worked' | 'idle';

/** One step in so many is followed by a detach, as users come and go. */
const DETACH_CHANCE = 1 / 300;
/** One good step in so many is followed by a look at the exporter's flag. */
const LOOK_CHANCE = 1 / 16;
/** Where an importer says that its memory was revoked for good. */
const REVOKED_FOR_GOOD = 'ib_umem_dmabuf_map_pages';
/** Bad pages that one engine reports one by one. */
const MAX_REPORTS = 5;

/** One engine's use of one buffer of the board: attaches, works, detaches, and starts over when the buffer is another one. */
export class BufferUse {
  readonly plan: UsePlan;
  readonly #engine: EnginePlan;
  readonly #context: RoleContext;
  readonly #importer: Importer;
  readonly #slot: BufferSlot;
  #session: Session | undefined;
  #generation = 0;
  #refused = 0;
  #reports = 0;

  constructor(context: RoleContext, engine: EnginePlan, importer: Importer, plan: UsePlan) {
    this.plan = plan;
    this.#engine = engine;
    this.#context = context;
    this.#importer = importer;
    this.#slot = context.board.buffer(plan.buffer.index);
  }

  /** False while the buffer is not on offer, or its exporter has said no to this importer for good. */
  get usable(): boolean {
    return this.#session !== undefined || (this.#slot.offered && this.#slot.generation !== this.#refused);
  }

  /** One unit of work. */
  turn(): Turn {
    const { record, board } = this.#context;
    if (this.#session === undefined) {
      record.doing('attaching', this.plan.buffer.index);
      return this.#attach();
    }
    if (this.#slot.generation !== this.#generation) {
      // The buffer was taken back for good, or lost: its place has another one now.
      this.detach();
      return 'worked';
    }
    record.doing('working', this.plan.buffer.index);
    const session = this.#session;
    const { diag } = this.#context.machine;
    const before = diag.count('violation');
    const result = session.step();
    if (diag.count('violation') !== before) this.#own();
    record.count('steps');
    board.countOp();
    const turn = this.#settle(session, result);
    if (this.#session !== undefined && this.#context.random.chance(DETACH_CHANCE)) this.detach();
    return turn;
  }

  /** Gives the buffer back, in order. */
  detach(): void {
    const { record } = this.#context;
    if (this.#session === undefined) return;
    record.doing('detaching', this.plan.buffer.index);
    this.#session.detach();
    this.#session = undefined;
    record.count('detaches');
  }

  #attach(): Turn {
    const { record } = this.#context;
    const taken = this.#slot.take();
    if (taken === undefined) return 'idle';
    const { dmabuf, generation } = taken;
    this.#generation = generation;
    try {
      const slice = this.plan.welcome ? this.plan.slice : { index: 0, count: 1 };
      this.#session = this.#importer.attach(dmabuf, slice);
      record.count('attaches');
      return 'worked';
    } catch (error) {
      if (!isKernelError(error) || error instanceof KernelBug) throw error;
      return this.#attachFailed(error, dmabuf);
    } finally {
      dmabuf.put();
    }
  }

  #attachFailed(error: KernelError, dmabuf: DmaBuf): Turn {
    const { record } = this.#context;
    if (error.code === 'ENOMEM') {
      record.count('nomem');
      return 'worked';
    }
    if (error.code === 'ENODEV') record.count('revoked');
    else if (error.code === 'EOWNERDEAD') this.#lost(dmabuf);
    // A pinned importer that is revoked between its attach and its map is revoked for good.
    else if (this.plan.welcome && error.code === 'EINVAL' && error.syscall === REVOKED_FOR_GOOD) record.count('dead');
    else this.#refuse(error.errno, error.syscall, dmabuf);
    return 'idle';
  }

  #settle(session: Session, result: StepResult): Turn {
    const { record } = this.#context;
    record.count('bytesWritten', result.bytesWritten);
    record.count('bytesRead', result.bytesRead);
    if (result.mapped === true) record.count('maps');
    if (result.mapNs !== undefined) record.mapNs.record(result.mapNs);
    if (result.fenceWakeNs !== undefined) record.fenceWakeNs.record(result.fenceWakeNs);
    this.#report(session, result);
    switch (result.outcome) {
      case 'ok':
        record.count('ok');
        if (!this.plan.welcome)
          this.#violation('accepted', 'step', 'the exporter let an importer in that it must refuse');
        else if (this.#engine.kind !== 'rogue' && this.#context.random.chance(LOOK_CHANCE)) this.#look(session);
        return 'worked';
      case 'revoked':
        record.count('revoked');
        return 'idle';
      case 'faulted':
        record.count('faulted');
        return 'idle';
      case 'nomem':
        record.count('nomem');
        return 'worked';
      case 'dead':
        record.count('dead');
        this.detach();
        return 'idle';
      case 'lost':
        this.#lost(session.dmabuf);
        this.detach();
        return 'idle';
      case 'refused': {
        const { dmabuf } = session;
        // Revoked for good while the step was under way: the errno says no more than that.
        if (session.dead) record.count('dead');
        else this.#refuse(ERRNO[result.errno ?? 'EINVAL'], 'dma_buf_map_attachment', dmabuf);
        this.detach();
        return 'idle';
      }
    }
  }

  /** Some rules are broken where no buffer is known, such as those of fences. Says for which one it was this time. */
  #own(): void {
    const { machine, board } = this.#context;
    for (const record of machine.diag.records()) {
      if (record.task === machine.tid && record.buffer === undefined && record.kind === 'violation') {
        if (board.blamed(record.seq) === undefined) board.blame(record.seq, this.plan.buffer.index);
      }
    }
  }

  /** A task died with a lock that is needed: the buffer's, and it will be replaced; or another, and there is no help. */
  #lost(dmabuf: DmaBuf): void {
    const { record, board } = this.#context;
    record.count('lost');
    if (dmabuf.damagedBy !== 0 || dmabuf.resv.ownerDead) {
      this.#slot.reportLost();
      board.loseBuffer(dmabuf.ino);
      board.announce();
    } else this.#refused = this.#generation;
  }

  /** The exporter said no: right for some importers, wrong for others. */
  #refuse(errno: number, step: string, dmabuf: DmaBuf): void {
    const { record } = this.#context;
    if (!this.plan.welcome) {
      record.refuse(this.plan.buffer.exporter, errno, step);
      this.#refused = this.#generation;
    } else if (this.#engine.kind !== 'rogue') {
      this.#violation('unexpected-refusal', step, `errno ${errno} for an importer that must be let in`, dmabuf);
    }
  }

  /** Right after a good step the device may reach the buffer only if the exporter says that it is not revoked. */
  #look(session: Session): void {
    const { record } = this.#context;
    const { buffer } = this.plan;
    const { dmabuf } = session;
    const wrong = this.#underResv(dmabuf, () => session.mapped && isRevoked(buffer, dmabuf));
    record.count('checks');
    if (wrong)
      this.#violation('mapped-while-revoked', 'step', 'the device can reach a buffer that its exporter has revoked');
  }

  #underResv(dmabuf: DmaBuf, fn: () => boolean): boolean {
    try {
      return dmabuf.resv.with(fn);
    } catch (error) {
      if (!isKernelError(error, 'EOWNERDEAD')) throw error;
      this.#lost(dmabuf);
      return false;
    }
  }

  #report(session: Session, { mismatches }: StepResult): void {
    const { record } = this.#context;
    for (const mismatch of mismatches) {
      record.count('mismatches');
      if (this.#reports++ >= MAX_REPORTS) continue;
      const { problem, offset, expected, found } = mismatch;
      const text = `byte ${offset}: ${problem}; expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`;
      this.#violation('pattern-mismatch', 'step', text, session.dmabuf);
    }
  }

  #violation(rule: string, step: string, text: string, dmabuf = this.#session?.dmabuf): void {
    const buffer = dmabuf?.label ?? this.plan.buffer.name;
    this.#context.machine.diag.violation({ rule, text, importer: this.#engine.name, buffer, step });
  }
}
