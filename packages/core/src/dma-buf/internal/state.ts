import { type Machine, type Mem, Mutex, type Slab, withSpin } from '@dmabuf-emu/shm';
import { CORE_QUIRKS } from '../../quirks.ts';
import { SgTableStruct } from '../../sg/sg-table-struct.ts';
import { listPush, listRemove } from './list.ts';
import { AttachmentStruct, DmaBufStruct } from './structs.ts';
import { DmaBufTrace } from './trace.ts';

/** Words of the room's static area. */
const MUTEX = 0;
const HEAD = 1;
const INO_LOCK = 2;
const INO = 4;
const BOUND = 6;
const WORDS = 16;

/** How long a revoker waits for fences, and then for unmaps, before it reports the culprits. */
export const DEFAULT_REVOKE_BOUND_MS = 1000;

/** One thread's handles on the tables and the static area of this room. */
export class DmaBufState {
  readonly machine: Machine;
  readonly mem: Mem;
  readonly buffers: Slab;
  readonly attachments: Slab;
  readonly tables: Slab;
  /** Guards the list of all buffers. @kernel dmabuf_list_mutex */
  readonly listMutex: Mutex;
  readonly trace: DmaBufTrace;
  /** Hand out wrapped copies of tables. @kernel CONFIG_DMABUF_DEBUG */
  readonly wrapTables: boolean;
  readonly #at: number;

  constructor(machine: Machine) {
    this.machine = machine;
    this.mem = machine.mem;
    this.buffers = machine.slab(DmaBufStruct);
    this.attachments = machine.slab(AttachmentStruct);
    this.tables = machine.slab(SgTableStruct);
    this.#at = machine.root('core.dma-buf', WORDS);
    this.listMutex = new Mutex(machine, this.#at + MUTEX, 'dmabuf_list_mutex');
    this.trace = new DmaBufTrace(machine);
    this.wrapTables = CORE_QUIRKS.has(machine, 'core.dmabufDebug');
  }

  /** Word that holds the newest buffer. */
  get listHead(): number {
    return this.#at + HEAD;
  }

  /** A fresh inode number; the first is 1, none is used twice. */
  nextIno(): number {
    return withSpin(this.machine, this.#at + INO_LOCK, () => {
      const at = (this.#at + INO) >>> 1;
      return (this.mem.f64[at] = this.mem.f64[at]! + 1);
    });
  }

  /** Machine-wide bound of revokes, in milliseconds of the machine's clock; stretches with it. */
  get revokeBoundMs(): number {
    return (this.mem.f64[(this.#at + BOUND) >>> 1]! || DEFAULT_REVOKE_BOUND_MS) * this.machine.clock.stretch;
  }

  set revokeBoundMs(ms: number) {
    this.mem.f64[(this.#at + BOUND) >>> 1] = ms;
  }

  /** Makes a buffer visible to iterators. */
  listAdd(buffer: number): void {
    this.listMutex.with(() => {
      listPush(this.mem, this.buffers, DmaBufStruct, this.listHead, buffer);
      DmaBufStruct.listed.set(this.mem, this.buffers.at(buffer), 1);
    });
  }

  /** Hides a buffer from iterators. */
  listDelete(buffer: number): void {
    this.listMutex.with(() => {
      const p = this.buffers.at(buffer);
      if (DmaBufStruct.listed.get(this.mem, p) === 0) return;
      listRemove(this.mem, this.buffers, DmaBufStruct, this.listHead, buffer);
      DmaBufStruct.listed.set(this.mem, p, 0);
    });
  }
}
