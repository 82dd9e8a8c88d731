import { KernelError } from '@dmabuf-emu/shm';
import { PAGE_BYTES } from '@dmabuf-emu/core';
import { MemorySignal } from './memory-signal.ts';
import { TASK_SIZE } from './protection.ts';
import { accessArea, type UserArea } from './user-area.ts';

/** Where a search for free addresses begins, downwards. */
const MMAP_BASE = 0x7000_0000_0000;
/** Lowest address that may be mapped. @kernel vm.mmap_min_addr */
const MMAP_MIN = 65_536;
/** Most areas of a process. @kernel vm.max_map_count */
const MAX_AREAS = 65_530;

/** What a process has mapped, as the thread sees that mapped it: areas in order of address. @kernel mm_struct */
export class AddressSpace {
  #areas: UserArea[] = [];

  get areas(): readonly UserArea[] {
    return this.#areas;
  }

  /** The area that holds `address`. */
  find(address: number): UserArea | undefined {
    return this.#areas.find(({ start, end }) => start <= address && address < end);
  }

  /**
   * A free place for `length` bytes: at `hint` when that is free. @kernel get_unmapped_area
   * @throws KernelError ENOMEM
   */
  freeRange(hint: number, length: number): number {
    const at = Math.floor(hint / PAGE_BYTES) * PAGE_BYTES;
    if (at >= MMAP_MIN && at + length <= TASK_SIZE && this.#overlapping(at, at + length).length === 0) return at;
    let top = MMAP_BASE;
    for (const { start, end } of this.#areas.toReversed()) {
      if (end <= top - length) break;
      if (start < top) top = start;
    }
    if (length > top - MMAP_MIN) throw new KernelError('ENOMEM', 'mmap', `no room for ${length} bytes`);
    return top - length;
  }

  /** @throws KernelError ENOMEM when the process has too many areas */
  checkRoom(): void {
    if (this.#areas.length >= MAX_AREAS) throw new KernelError('ENOMEM', 'mmap', `a process has ${MAX_AREAS} areas`);
  }

  add(area: UserArea): void {
    const at = this.#areas.findIndex(({ start }) => start > area.start);
    this.#areas.splice(at === -1 ? this.#areas.length : at, 0, area);
  }

  /** Takes everything mapped between two addresses away, splitting areas that reach over. @kernel do_munmap */
  remove(start: number, end: number): void {
    for (const area of this.isolate(start, end)) {
      this.#areas = this.#areas.filter((other) => other !== area);
      area.backing.drop();
    }
  }

  /** The areas between two addresses, split so that none reaches over. @kernel split_vma */
  isolate(start: number, end: number): UserArea[] {
    for (const border of [start, end]) {
      const area = this.#areas.find((one) => one.start < border && border < one.end);
      if (area === undefined) continue;
      this.checkRoom();
      area.backing.split();
      this.replace(area, { ...area, end: border });
      this.add({ ...area, start: border, offset: area.offset + border - area.start });
    }
    return this.#overlapping(start, end);
  }

  replace(area: UserArea, by: UserArea): void {
    this.#areas = this.#areas.map((other) => (other === area ? by : other));
  }

  /** A copy of the program's memory. @throws MemorySignal */
  read(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#each(address, length, (area, at, done, count) => bytes.set(accessArea(area, at, count), done));
    return bytes;
  }

  /** Stores to the program's memory. @throws MemorySignal; what came before is written then. */
  write(address: bigint, bytes: Uint8Array): void {
    this.#each(address, bytes.length, (area, at, done, count) =>
      accessArea(area, at, count, bytes.subarray(done, done + count)),
    );
  }

  #overlapping(start: number, end: number): UserArea[] {
    return this.#areas.filter((area) => area.start < end && start < area.end);
  }

  #each(
    address: bigint,
    length: number,
    visit: (area: UserArea, at: number, done: number, count: number) => void,
  ): void {
    for (let done = 0; done < length;) {
      const at = Number(address) + done;
      const area = at < TASK_SIZE ? this.find(at) : undefined;
      if (area === undefined) throw new MemorySignal('SIGSEGV', address + BigInt(done), 'nothing is mapped there');
      const count = Math.min(area.end - at, PAGE_BYTES - (at % PAGE_BYTES), length - done);
      visit(area, at, done, count);
      done += count;
    }
  }
}
