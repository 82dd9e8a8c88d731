import { atomicOr, WaitQueue, type Machine } from '@dmabuf-emu/shm';
import {
  BoardStruct,
  BufferStruct,
  MAX_BLAMES,
  MAX_BUFFERS,
  MAX_INOS,
  MAX_ROLES,
  RoleStruct,
} from './board-structs.ts';
import { BufferSlot } from './buffer-slot.ts';
import { ROLE_ENDED, RoleRecord } from './role-record.ts';

/** Where the run is. */
export const PHASE_STARTING = 0;
export const PHASE_RUNNING = 1;
/** Importers finish their step, give everything back and leave. */
export const PHASE_STOPPING = 2;
/** Everybody but the rogues has left. */
export const PHASE_OVER = 3;

/** Mark of an inode number whose buffer was lost. */
const LOST_INO = 0x4000_0000;

const B = BoardStruct;
const stride = (words: number): number => Math.ceil(words / 16) * 16;
const BUFFER_STRIDE = stride(BufferStruct.$words);
const ROLE_STRIDE = stride(RoleStruct.$words);

/** What all threads of a stress run share beside the emulated kernel: buffers on offer, the stop sign, counters. */
export class Board {
  readonly machine: Machine;
  readonly #at: number;
  readonly #buffers: number;
  readonly #roles: number;
  readonly #inos: number;
  readonly #blames: number;
  readonly #event: WaitQueue;

  constructor(machine: Machine) {
    this.machine = machine;
    this.#at = machine.root('stress.board', stride(B.$words));
    this.#buffers = machine.root('stress.buffers', BUFFER_STRIDE * MAX_BUFFERS);
    this.#roles = machine.root('stress.roles', ROLE_STRIDE * MAX_ROLES);
    this.#inos = machine.root('stress.inos', MAX_INOS);
    this.#blames = machine.root('stress.blames', MAX_BLAMES * 2);
    this.#event = new WaitQueue(machine, this.#at + B.event.at, 'stress.board');
  }

  get phase(): number {
    return B.phase.load(this.machine.mem, this.#at);
  }

  setPhase(phase: number): void {
    B.phase.store(this.machine.mem, this.#at, phase);
    this.#event.wakeAll();
  }

  get stopping(): boolean {
    return this.phase >= PHASE_STOPPING;
  }

  get ops(): number {
    return B.ops.load(this.machine.mem, this.#at);
  }

  set opsLimit(limit: number) {
    B.opsLimit.store(this.machine.mem, this.#at, limit);
  }

  /** Whether the wanted number of steps was reached. */
  get opsReached(): boolean {
    const limit = B.opsLimit.get(this.machine.mem, this.#at);
    return limit > 0 && this.ops >= limit;
  }

  /** Counts one step of an importer. */
  countOp(): void {
    B.ops.add(this.machine.mem, this.#at, 1);
  }

  /** Sleeps until `condition()` holds or `timeoutMs` have passed; wakes with every {@link announce}. */
  waitUntil(condition: () => boolean, timeoutMs: number): boolean {
    return this.#event.waitUntil(condition, { timeoutMs, label: 'stress.board' });
  }

  /** Lets everybody who waits for the board look again. */
  announce(): void {
    this.#event.wakeAll();
  }

  /** Says which roles are engines. */
  setEngines(first: number, count: number): void {
    B.engines.store(this.machine.mem, this.#at, count);
    B.firstEngine.store(this.machine.mem, this.#at, first);
  }

  /** Whether every engine has given its buffers back and left. */
  get enginesGone(): boolean {
    const first = B.firstEngine.load(this.machine.mem, this.#at);
    const count = B.engines.load(this.machine.mem, this.#at);
    for (let role = first; role < first + count; role++) if (this.role(role).state !== ROLE_ENDED) return false;
    return true;
  }

  /** Notes that the dma-buf with inode number `ino` was offered at place `index`. */
  nameBuffer(ino: number, index: number): void {
    this.machine.mem.i32[this.#inos + (ino % MAX_INOS)] = index + 1;
  }

  /** Place where the dma-buf with inode number `ino` was offered last; undefined when it never was. */
  placeOf(ino: number): number | undefined {
    const index = this.machine.mem.i32[this.#inos + (ino % MAX_INOS)]! & ~LOST_INO;
    return index === 0 ? undefined : index - 1;
  }

  /** Notes that the dma-buf with inode number `ino` was lost with a task: it cannot be revoked any more. */
  loseBuffer(ino: number): void {
    atomicOr(this.machine.mem, this.#inos + (ino % MAX_INOS), LOST_INO);
  }

  /** Whether {@link loseBuffer} was called for it. */
  isLost(ino: number): boolean {
    return (this.machine.mem.i32[this.#inos + (ino % MAX_INOS)]! & LOST_INO) !== 0;
  }

  /** Notes that diagnostic `seq`, which names no buffer, came from work on the buffer at place `index`. */
  blame(seq: number, index: number): void {
    const at = this.#blames + (seq % MAX_BLAMES) * 2;
    this.machine.mem.i32[at] = seq + 1;
    this.machine.mem.i32[at + 1] = index;
  }

  /** Place of the buffer that diagnostic `seq` came from, as far as it is known. */
  blamed(seq: number): number | undefined {
    const at = this.#blames + (seq % MAX_BLAMES) * 2;
    return this.machine.mem.i32[at] === seq + 1 ? this.machine.mem.i32[at + 1]! : undefined;
  }

  buffer(index: number): BufferSlot {
    return new BufferSlot(this.machine, this.#buffers + index * BUFFER_STRIDE);
  }

  role(index: number): RoleRecord {
    return new RoleRecord(this.machine, this.#roles + index * ROLE_STRIDE);
  }
}
