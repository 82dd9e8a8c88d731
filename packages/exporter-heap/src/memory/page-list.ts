import { i32, type Machine, struct } from '@dmabuf-emu/shm';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { headPage, pagePaddr, putPage } from './page.ts';
import { XARRAY_FIELDS, XArray } from './xarray.ts';

export const PageListStruct = struct('page_list', { ...XARRAY_FIELDS, count: i32(), ownerTask: i32() });
const L = PageListStruct;

/** Pages in a row of physical addresses. */
export interface PageRun {
  readonly paddr: number;
  readonly len: number;
}

/**
 * Pages that an exporter keeps for a buffer, in the buffer's order, each with a reference: they stay what they are whatever
 * happens to the file they come from. The same page may be in it several times. A handle over the struct behind `ref`.
 */
export class PageList {
  readonly machine: Machine;
  readonly ref: number;
  readonly #p: number;
  readonly #array: XArray;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.#p = machine.slab(L).at(ref);
    this.#array = new XArray(machine, this.#p, L);
  }

  /** @throws KernelError ENOMEM */
  static create(machine: Machine): PageList {
    const ref = machine.slab(L).alloc('page_list');
    L.ownerTask.set(machine.mem, machine.slab(L).at(ref), machine.tid);
    return new PageList(machine, ref);
  }

  static of(machine: Machine, ref: number): PageList {
    return new PageList(machine, ref);
  }

  /** Appends a page and takes over the caller's reference to it. @throws KernelError ENOMEM; the caller keeps it then. */
  push(page: number): void {
    this.#array.insert(this.count, page);
    L.count.set(this.machine.mem, this.#p, this.count + 1);
  }

  /** Number of pages. */
  get count(): number {
    return L.count.get(this.machine.mem, this.#p);
  }

  /** Page `index`; 0 beyond the end. */
  at(index: number): number {
    return this.#array.load(index);
  }

  /** Physical address of page `index`. */
  paddr(index: number): number {
    return pagePaddr(this.machine, this.at(index));
  }

  /** Physical addresses, one run for each page. */
  pages(): PageRun[] {
    return Array.from({ length: this.count }, (_, i) => ({ paddr: this.paddr(i), len: PAGE_SIZE }));
  }

  /** Physical addresses, with neighbours joined. @kernel sg_alloc_table_from_pages */
  runs(): PageRun[] {
    const runs: { paddr: number; len: number }[] = [];
    for (let i = 0; i < this.count; i++) {
      const paddr = this.paddr(i);
      const last = runs.at(-1);
      if (last !== undefined && last.paddr + last.len === paddr) last.len += PAGE_SIZE;
      else runs.push({ paddr, len: PAGE_SIZE });
    }
    return runs;
  }

  /** Drops every reference and frees the list. */
  free(): void {
    const { machine } = this;
    for (const [, page] of this.#array.entries()) putPage(machine, page);
    this.#array.destroy();
    L.ownerTask.set(machine.mem, this.#p, 0);
    machine.slab(L).free(this.ref, 'page_list');
  }

  /** Head pages that it holds references to. For checks on a quiet machine. */
  *held(): Generator<number> {
    for (const [, page] of this.#array.entries()) yield headPage(this.machine, page);
  }
}
