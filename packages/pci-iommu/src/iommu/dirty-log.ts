import { atomicAnd, atomicOr, type Machine, type Mem } from '@dmabuf-emu/shm';
import { DomainStruct } from './domain-struct.ts';
import { TableCursor } from './table-cursor.ts';
import type { TableStore } from './table-store.ts';

const TRACKING = DomainStruct.dirtyTracking.at;

/** Pages that were written: one bit for each leaf of the page table, large ones too. */
export class DirtyLog {
  readonly #mem: Mem;
  readonly #store: TableStore;
  readonly #cursor: TableCursor;
  readonly #p: number;

  /** @param p - word of the domain's slot */
  constructor(machine: Machine, p: number, store: TableStore) {
    this.#mem = machine.mem;
    this.#store = store;
    this.#cursor = new TableCursor(machine, p, store);
    this.#p = p;
  }

  /** Whether writes are noted. */
  get isOn(): boolean {
    return this.#mem.i32[this.#p + TRACKING] !== 0;
  }

  /** Begins (nothing is dirty then) or ends noting writes. @locks of the domain */
  set isOn(on: boolean) {
    if (on && !this.isOn) this.#store.cleanAll();
    DomainStruct.dirtyTracking.store(this.#mem, this.#p, on ? 1 : 0);
  }

  /** Pages [page, end) were written by a device. Takes no lock; what is not mapped any more is not noted. */
  mark(page: number, end: number): void {
    const cursor = this.#cursor;
    for (let at = page; at < end;) {
      if (cursor.seek(at) === 0) {
        at++;
        continue;
      }
      cursor.bound();
      const word = this.#store.dirtyWord(cursor.table, cursor.from);
      const bit = 1 << (cursor.from & 31);
      if ((this.#mem.i32[word]! & bit) === 0) atomicOr(this.#mem, word, bit);
      at = cursor.firstPage(at) + cursor.pages;
    }
  }

  /**
   * Calls `found` with the first page and the end of every dirty leaf in pages [page, end).
   * @param clean - they are not dirty any more
   * @locks of the domain
   */
  scan(page: number, end: number, clean: boolean, found: (first: number, end: number) => void): void {
    const cursor = this.#cursor;
    for (let at = page; at < end;) {
      const isMapped = cursor.seek(at) !== 0;
      cursor.bound();
      const first = cursor.firstPage(at);
      const next = first + cursor.pages;
      const word = this.#store.dirtyWord(cursor.table, cursor.from);
      const bit = 1 << (cursor.from & 31);
      if (isMapped && (this.#mem.i32[word]! & bit) !== 0) {
        if (clean) atomicAnd(this.#mem, word, ~bit);
        found(Math.max(first, page), Math.min(next, end));
      }
      at = next;
    }
  }
}
