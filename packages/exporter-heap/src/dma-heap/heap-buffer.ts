import type { DmaBuf } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { type Machine, orUndo } from '@dmabuf-emu/shm';
import { pageCount, pagePaddr, putPage } from '../memory/page.ts';
import type { PageRun } from '../memory/page-list.ts';
import { XArray } from '../memory/xarray.ts';
import { HeapBufferStruct as B } from './buffer-struct.ts';

/** Sizes of runs of pages that a buffer may consist of, where it has more than one; each begins at a multiple of its size. @kernel orders */
export const RUN_PAGES = [256, 16, 1] as const;

/** A run of a buffer's pages: number of the first page, and head page. */
export interface Run {
  readonly first: number;
  readonly page: number;
  readonly pages: number;
}

/** The heap's side of a buffer. A handle over the struct behind `ref`. */
export class HeapBuffer {
  readonly machine: Machine;
  readonly ref: number;
  /** Word of the struct. */
  readonly p: number;
  readonly #runs: XArray;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.p = machine.slab(B).at(ref);
    this.#runs = new XArray(machine, this.p, B);
  }

  static of({ machine, priv }: DmaBuf): HeapBuffer {
    return new HeapBuffer(machine, priv);
  }

  /** A buffer without pages. @throws KernelError ENOMEM */
  static create(machine: Machine, cma: boolean): HeapBuffer {
    const slab = machine.slab(B);
    const buffer = new HeapBuffer(machine, slab.alloc('heap_allocate'));
    B.cma.set(machine.mem, buffer.p, cma ? 1 : 0);
    B.ownerTask.set(machine.mem, buffer.p, machine.tid);
    return buffer;
  }

  /** Appends a run of pages and takes over the caller's reference to it. @throws KernelError ENOMEM; the run is freed then. */
  append(page: number): void {
    const { machine, pages } = this;
    orUndo(
      () => this.#runs.insert(pages, page),
      () => putPage(machine, page),
    );
    B.pages.set(machine.mem, this.p, pages + pageCount(machine, page));
  }

  get pages(): number {
    return B.pages.get(this.machine.mem, this.p);
  }

  get cma(): boolean {
    return B.cma.get(this.machine.mem, this.p) !== 0;
  }

  /** Head pages of its runs, in order. */
  *heads(): Generator<number> {
    for (const [, page] of this.#runs.entries()) yield page;
  }

  /** Physical addresses of its runs, in order. */
  runs(): PageRun[] {
    const { machine } = this;
    return [...this.heads()].map((page) => ({
      paddr: pagePaddr(machine, page),
      len: pageCount(machine, page) * PAGE_SIZE,
    }));
  }

  /** The run that page `index` of the buffer is in; undefined beyond the end. */
  runAt(index: number): Run | undefined {
    if (index >= this.pages) return undefined;
    for (const size of RUN_PAGES) {
      const run = this.#runFrom(index - (index % size), index);
      if (run !== undefined) return run;
    }
    return this.#runFrom(0, index);
  }

  /** Physical address of page `index`; undefined beyond the end. */
  paddr(index: number): number | undefined {
    const run = this.runAt(index);
    return run === undefined ? undefined : pagePaddr(this.machine, run.page) + (index - run.first) * PAGE_SIZE;
  }

  /** Frees the pages and the struct. */
  free(): void {
    const { machine } = this;
    for (const page of this.heads()) putPage(machine, page);
    this.#runs.destroy();
    B.ownerTask.set(machine.mem, this.p, 0);
    machine.slab(B).free(this.ref, 'heap_buffer_release');
  }

  #runFrom(first: number, index: number): Run | undefined {
    const page = this.#runs.load(first);
    if (page === 0) return undefined;
    const pages = pageCount(this.machine, page);
    return index < first + pages ? { first, page, pages } : undefined;
  }
}
