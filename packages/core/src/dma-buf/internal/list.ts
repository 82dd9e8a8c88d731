import type { I32Field, Mem, Slab } from '@dmabuf-emu/shm';

/** Where a doubly linked list keeps its links: fields of the members' struct. */
export interface Links {
  readonly next: I32Field;
  readonly prev: I32Field;
}

/** Puts the live slot `member` at the front of the list whose head is the word `head`. The list's lock must be held. */
export function listPush(mem: Mem, slab: Slab, links: Links, head: number, member: number): void {
  const first = mem.i32[head]!;
  const p = slab.at(member);
  links.next.set(mem, p, first);
  links.prev.set(mem, p, 0);
  if (first !== 0) links.prev.set(mem, slab.at(first), member);
  mem.i32[head] = member;
}

/** Takes the live slot `member` out of that list. The list's lock must be held. */
export function listRemove(mem: Mem, slab: Slab, links: Links, head: number, member: number): void {
  const p = slab.at(member);
  const next = links.next.get(mem, p);
  const prev = links.prev.get(mem, p);
  if (prev === 0) mem.i32[head] = next;
  else links.next.set(mem, slab.at(prev), next);
  if (next !== 0) links.prev.set(mem, slab.at(next), prev);
  links.next.set(mem, p, 0);
  links.prev.set(mem, p, 0);
}

/** The members of that list, first to last; each may be removed while it is visited. */
export function* listMembers(mem: Mem, slab: Slab, links: Links, head: number): Generator<number> {
  for (let member = mem.i32[head]!; member !== 0;) {
    const next = links.next.get(mem, slab.at(member));
    yield member;
    member = next;
  }
}
