import type { I32Field, Mem, Slab } from '@dmabuf-emu/shm';

/** Where a list has its ends, and its members their links. */
export interface ListFields {
  readonly first: I32Field;
  readonly last: I32Field;
  readonly next: I32Field;
  readonly prev: I32Field;
}

/** A doubly linked list of the live slots of a slab, its ends at word `owner`. Whoever uses it holds the list's lock. */
export class SlabList {
  readonly #mem: Mem;
  readonly #slab: Slab;
  readonly #owner: number;
  readonly #fields: ListFields;

  constructor(mem: Mem, slab: Slab, owner: number, fields: ListFields) {
    this.#mem = mem;
    this.#slab = slab;
    this.#owner = owner;
    this.#fields = fields;
  }

  append(member: number): void {
    const { first, last, next, prev } = this.#fields;
    const before = last.get(this.#mem, this.#owner);
    const p = this.#slab.at(member);
    prev.set(this.#mem, p, before);
    next.set(this.#mem, p, 0);
    if (before === 0) first.set(this.#mem, this.#owner, member);
    else next.set(this.#mem, this.#slab.at(before), member);
    last.set(this.#mem, this.#owner, member);
  }

  remove(member: number): void {
    const { first, last, next, prev } = this.#fields;
    const p = this.#slab.at(member);
    const after = next.get(this.#mem, p);
    const before = prev.get(this.#mem, p);
    if (before === 0) first.set(this.#mem, this.#owner, after);
    else next.set(this.#mem, this.#slab.at(before), after);
    if (after === 0) last.set(this.#mem, this.#owner, before);
    else prev.set(this.#mem, this.#slab.at(after), before);
  }

  /** First to last; each may be removed while it is visited. */
  *members(): Generator<number> {
    for (let member = this.#fields.first.get(this.#mem, this.#owner); member !== 0;) {
      const next = this.#fields.next.get(this.#mem, this.#slab.at(member));
      yield member;
      member = next;
    }
  }
}
