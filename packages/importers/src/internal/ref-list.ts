import { atomicStore, type I32Field, type Machine, type StructInfo } from '@dmabuf-emu/shm';

/** A singly linked list of slots, newest first: its head is a word, the links are a field. Its owner's lock guards it. */
export class RefList {
  readonly #machine: Machine;
  readonly #struct: StructInfo;
  readonly #next: I32Field;
  readonly #head: number;

  /** @param head - word that holds the newest member */
  constructor(machine: Machine, struct: StructInfo, next: I32Field, head: number) {
    this.#machine = machine;
    this.#struct = struct;
    this.#next = next;
    this.#head = head;
  }

  get isEmpty(): boolean {
    return this.#machine.mem.i32[this.#head] === 0;
  }

  push(member: number): void {
    const { mem } = this.#machine;
    this.#next.set(mem, this.#at(member), mem.i32[this.#head]!);
    atomicStore(mem, this.#head, member);
  }

  /** Takes a member out; the slot stays alive. */
  remove(member: number): void {
    const { mem } = this.#machine;
    const next = this.#next.get(mem, this.#at(member));
    if (mem.i32[this.#head] === member) {
      atomicStore(mem, this.#head, next);
      return;
    }
    for (const other of this.members()) {
      if (this.#next.get(mem, this.#at(other)) !== member) continue;
      this.#next.store(mem, this.#at(other), next);
      return;
    }
  }

  /** Newest first; each may be removed and freed while it is visited. */
  *members(): Generator<number> {
    const { mem } = this.#machine;
    for (let member = mem.i32[this.#head]!; member !== 0;) {
      const next = this.#next.get(mem, this.#at(member));
      yield member;
      member = next;
    }
  }

  #at(member: number): number {
    return this.#machine.slab(this.#struct).at(member);
  }
}
