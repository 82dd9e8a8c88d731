import {
  Attachment,
  DmaBuf,
  Fence,
  FdTable,
  File,
  SwSyncTimeline,
  type FenceCallback,
  type SignalRight,
} from '@dmabuf-emu/core';
import { revocableOf } from '#dist/dma-buf/revocable-exporter.test-worker.js';
import { KernelError, Machine } from '@dmabuf-emu/shm';
import { deepStrictEqual } from 'node:assert/strict';
import { ModelFence } from '../fence/containers-model.fixture.ts';
import type { ModelAttachment, ModelBuffer } from './buffers.fixture.ts';
import { FailNext, registerModelDrivers, run } from './drivers.fixture.ts';
import { fail, ModelError, ModelFile, ModelMachine, ModelProcess, ModelTask } from './files.fixture.ts';
import type { ModelTimeline } from './timeline.fixture.ts';

/** Descriptors that a process may have. */
const FD_LIMIT = 7;
const TASKS = 3;

export interface BufferPair {
  readonly ref: number;
  readonly model: ModelBuffer;
  /** References that the test owns. */
  own: number;
}

export interface AttachmentPair {
  readonly ref: number;
  readonly buffer: BufferPair;
  readonly model: ModelAttachment;
  /** Refs of tables that are mapped, newest first, and of one that was. */
  tables: number[];
  stale: number;
}

export interface FencePair {
  readonly ref: number;
  readonly model: ModelFence;
  /** Ended by hand, by the test. */
  readonly isLeaf: boolean;
  own: number;
}

export interface RightPair {
  readonly real: SignalRight;
  readonly fence: FencePair;
  state: 'owned' | 'signalled' | 'dropped' | 'handed-over';
}

export interface CallbackPair {
  readonly real: FenceCallback;
  readonly number: number;
  /** What it is on. */
  on: { readonly fence: FencePair; isOn: boolean } | undefined;
}

/** What is behind a file of the model. */
export interface FilePair {
  readonly ref: number;
  readonly buffer?: BufferPair;
  readonly timeline?: ModelTimeline;
  readonly sync?: { readonly fence: ModelFence; polled: boolean };
}

/** A machine of three tasks, two of one process, beside the model of it. */
export class World {
  readonly machines: Machine[];
  /** Looks, and holds nothing. */
  readonly observer: Machine;
  readonly model: ModelMachine;
  readonly calls: string[] = [];
  readonly failNext = new FailNext(fail);
  readonly buffers: BufferPair[] = [];
  readonly attachments: AttachmentPair[] = [];
  readonly fences: FencePair[] = [];
  readonly callbacks: CallbackPair[] = [];
  readonly rights: RightPair[] = [];
  readonly files = new Map<ModelFile, FilePair>();
  /** Every fence that was seen, by its ref. */
  readonly known = new Map<number, ModelFence>();
  ids = 0;
  task = 0;

  constructor(machine: Machine) {
    this.machines = [machine, ...['second', 'third'].map((name) => Machine.join(machine.handle, { name }))];
    const shared = FdTable.create(machine, { name: 'shared', limit: FD_LIMIT });
    const own = FdTable.create(machine, { name: 'own', limit: FD_LIMIT });
    const processes = [new ModelProcess(FD_LIMIT), new ModelProcess(FD_LIMIT)];
    this.machines.forEach((m, i) => FdTable.of(m, (i < 2 ? shared : own).ref).join());
    this.model = new ModelMachine(Array.from({ length: TASKS }, (_, i) => new ModelTask(processes[i < 2 ? 0 : 1]!)));
    this.observer = Machine.join(machine.handle, { name: 'observer' });
    for (const each of [...this.machines, this.observer]) registerModelDrivers(each);
    run.calls = [];
    run.failNext.next = undefined;
    run.ids.clear();
  }

  get machine(): Machine {
    return this.machines[this.task]!;
  }

  get process(): ModelProcess {
    return this.model.task.process;
  }

  get table(): FdTable {
    return FdTable.current(this.machine);
  }

  /** Lets a task run. */
  switchTo(task: number): void {
    this.task = task % TASKS;
    this.model.task = this.model.tasks[this.task]!;
  }

  dmabuf({ ref }: BufferPair): DmaBuf {
    return DmaBuf.of(this.machine, ref);
  }

  attachment({ ref, buffer }: AttachmentPair): Attachment {
    return new Attachment(this.dmabuf(buffer), ref);
  }

  fence({ ref }: FencePair): Fence {
    return Fence.of(this.machine, ref);
  }

  /** Does the same on both sides; the results, or errors, must be the same. Tells whether both succeeded. */
  both<R, M>(real: () => R, model: () => M, ...show: ((r: R) => unknown)[]): { real: R; model: M } | undefined {
    const seen = outcome(real);
    const wanted = outcome(model);
    if ('error' in seen || 'error' in wanted) {
      deepStrictEqual(seen, wanted);
      return undefined;
    }
    for (const fn of show) same(fn(seen.value), wanted.value);
    return { real: seen.value, model: wanted.value };
  }

  /** {@link both} whose results can be compared as they are. */
  equal(real: () => unknown, model: () => unknown): boolean {
    return this.both(real, model, (value) => value) !== undefined;
  }

  /** Notes which model a fence has. */
  learn(ref: number, model: ModelFence): ModelFence {
    this.known.set(ref, model);
    return model;
  }

  refOf(model: ModelFence): number {
    for (const [ref, known] of this.known) if (known === model) return ref;
    throw new Error('a fence of the model has no real one');
  }

  /** A file that a call made, beside its model. */
  addFile(model: ModelFile, pair: FilePair): void {
    this.files.set(model, pair);
  }

  pairOf(model: ModelFile): FilePair {
    return this.files.get(model)!;
  }

  /** Everything that can be seen is the same. */
  compare(): void {
    this.model.settle();
    same(run.calls.splice(0), this.calls.splice(0));
    const { diag } = this.machine;
    const shown = diag.count('warn') + diag.count('lockdep') + diag.count('violation') + diag.count('bug');
    if (shown !== this.model.diag.length) this.compareDiag();
    same(File.openCount(this.machine), this.model.files);
    this.#compareFds();
    for (const pair of this.buffers) if (!pair.model.released) this.#compareBuffer(pair);
    for (const { ref, model } of this.fences) same(showFence(Fence.of(this.machine, ref)), showModel(model));
    for (const [file, pair] of this.files) {
      if (pair.timeline === undefined || file.refs === 0) continue;
      same(SwSyncTimeline.of(File.of(this.machine, pair.ref)).value, pair.timeline.value);
    }
  }

  compareDiag(): void {
    const records = this.machine.diag.records().filter(({ kind }) => kind !== 'info');
    same(
      records.map(({ kind, code }) => `${kind} ${code}`),
      this.model.diag,
    );
  }

  #compareFds(): void {
    this.machines.forEach((machine, i) => {
      const { fds } = this.model.tasks[i]!.process;
      const wanted = fds.flatMap((file, fd) => (file === undefined ? [] : [[fd, this.pairOf(file).ref]]));
      same(
        FdTable.current(machine)
          .entries()
          .map(({ fd, file }) => [fd, file.ref]),
        wanted,
      );
    });
    for (const [{ refs }, { ref }] of this.files) if (refs > 0) same(File.of(this.machine, ref).count, refs);
  }

  #compareBuffer(pair: BufferPair): void {
    const { model } = pair;
    const dmabuf = this.dmabuf(pair);
    const mine = this.attachments.filter((a) => a.buffer === pair && a.model.alive);
    same(
      dmabuf.attachments().map((a) => [a.ref, a.pins, a.tables().map((t) => t.ref)]),
      model.attachments.map((a) => {
        const { ref, tables } = mine.find((m) => m.model === a)!;
        return [ref, a.pins, tables];
      }),
    );
    for (const { model: a, tables } of mine) same(tables.length, a.tables);
    if (model.kind === 'revocable') {
      const { revoked, mapCount } = revocableOf(dmabuf);
      same([revoked, mapCount], [model.revoked, 1 + model.attachments.reduce((sum, a) => sum + a.tables, 0)]);
    }
    this.#compareResv(pair);
  }

  /** Looks as the holder of the lock, or takes it. */
  #compareResv({ ref, model }: BufferPair): void {
    const holder = model.lockedBy && this.machines[this.model.tasks.indexOf(model.lockedBy)];
    const { resv } = DmaBuf.of(holder ?? this.observer, ref);
    const seen: [number, number][] = [];
    const look = (): void => resv.forEach(3, (fence, usage) => void seen.push([fence.ref, usage]));
    same(resv.isLocked, model.lockedBy !== undefined);
    if (holder === undefined) resv.with(look);
    else look();
    const wanted = model.resv.entries.map(({ fence, usage }) => [fence, usage]);
    same(
      seen.map(([fence, usage]) => [this.known.get(fence), usage]),
      wanted,
    );
  }
}

type Outcome<T> = { readonly value: T } | { readonly error: string };

function outcome<T>(fn: () => T): Outcome<T> {
  try {
    return { value: fn() };
  } catch (error) {
    if (error instanceof KernelError || error instanceof ModelError) return { error: error.code };
    throw error;
  }
}

export function same(real: unknown, model: unknown): void {
  deepStrictEqual(real, model);
}

function showFence(fence: Fence): unknown {
  return fence.signaledFlag() ? fence.status() : 0;
}

function showModel(model: ModelFence): unknown {
  return model.signaled ? model.error || 1 : 0;
}
