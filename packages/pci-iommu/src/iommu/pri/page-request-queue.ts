import {
  completion,
  completionOf,
  i32,
  type Machine,
  type Mem,
  ref,
  struct,
  u53,
  waitqueue,
  waitQueueOf,
  withSpin,
  words,
} from '@dmabuf-emu/shm';
import { PAGE_SIZE } from '../../memory/page.ts';
import { DomainStruct } from '../domain-struct.ts';
import {
  hasPageFaultHandler,
  PAGE_RESPONSES,
  type PageFaultGroup,
  pageFaultHandler,
  type PageResponse,
} from './page-fault-handler.ts';

/** Records that a queue has room for; one stays free. */
export const PAGE_REQUEST_RECORDS = 256;
/** How long a function waits for somebody to serve its request. */
const PATIENCE_MS = 10_000;

/** Pages that a function asked for together, and what it is answered. */
export const GroupStruct = struct('iopf_group', {
  fn: i32(),
  domain: ref(),
  /** Task that plays the function. */
  task: i32(),
  page: u53(),
  pages: i32(),
  write: i32(),
  /** Index in {@link PAGE_RESPONSES} plus one; 0 while it is not answered. */
  response: i32(),
  done: completion('iopf_group.done'),
});
const G = GroupStruct;

/** Pairs of a group and whether this was its last page. */
const QueueStruct = struct('pci.page_requests', {
  lock: i32(),
  head: i32(),
  tail: i32(),
  overflow: i32(),
  dropped: i32(),
  filled: waitqueue('pci.page_requests'),
  records: words(2 * PAGE_REQUEST_RECORDS),
});
const Q = QueueStruct;

/**
 * Where one IOMMU notes the pages that functions ask for. Whoever has the handler of a request's domain serves it: the thread
 * that plays the function, or one that waits for it.
 * @kernel struct iopf_queue
 */
export class PageRequestQueue {
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #p: number;

  /** @param iommu - number of the IOMMU */
  constructor(machine: Machine, iommu: number) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#p = machine.root(`pci.page-requests:${iommu}`, Q.$words);
  }

  /** Records in the queue. */
  get length(): number {
    const [head, tail] = [Q.head.load(this.#mem, this.#p), Q.tail.load(this.#mem, this.#p)];
    return (tail - head + PAGE_REQUEST_RECORDS) % PAGE_REQUEST_RECORDS;
  }

  /** A request found no room since this was cleared. @kernel DMA_PRS_PRO */
  get overflowed(): boolean {
    return Q.overflow.load(this.#mem, this.#p) !== 0;
  }

  /** Records that found no room. */
  get dropped(): number {
    return Q.dropped.load(this.#mem, this.#p);
  }

  /** Takes requests again after an overflow. */
  clearOverflow(): void {
    Q.overflow.store(this.#mem, this.#p, 0);
  }

  /**
   * A function asks for pages and waits for the answer. Where the queue has no room for the last of them, the hardware answers
   * by itself that all is well, so that the function asks again.
   * @throws KernelError ENOMEM
   */
  request(group: PageFaultGroup): PageResponse {
    const slab = this.#machine.slab(G);
    const made = slab.alloc('iopf.group');
    const p = slab.at(made);
    G.fn.set(this.#mem, p, group.fn);
    G.domain.set(this.#mem, p, group.domain);
    G.task.set(this.#mem, p, this.#machine.tid);
    G.page.set(this.#mem, p, group.iova / PAGE_SIZE);
    G.pages.set(this.#mem, p, group.pages);
    G.write.set(this.#mem, p, group.write ? 1 : 0);
    const response = this.#post(made, group.pages) ? this.#await(p) : 'success';
    this.#locked(() => slab.free(made, 'iopf.group'));
    return response;
  }

  /**
   * Answers requests as long as there are any whose handler the calling thread has.
   * @param timeoutMs - wait so long for the first one
   * @returns groups answered
   */
  serve(timeoutMs = 0): number {
    if (timeoutMs !== 0 && this.length === 0) {
      waitQueueOf(this.#machine, this.#p, Q.filled).waitUntil(() => this.length > 0, { timeoutMs });
    }
    let served = 0;
    for (let group = this.#take(); group !== 0; group = this.#take()) {
      if (group > 0 && this.#answer(group)) served++;
    }
    return served;
  }

  /** False: the last page found no room. */
  #post(group: number, pages: number): boolean {
    let posted = true;
    this.#locked(() => {
      for (let i = 1; i <= pages; i++) {
        const tail = Q.tail.load(this.#mem, this.#p);
        const next = (tail + 1) % PAGE_REQUEST_RECORDS;
        posted = next !== Q.head.load(this.#mem, this.#p) && !this.overflowed;
        if (!posted) {
          Q.overflow.store(this.#mem, this.#p, 1);
          Q.dropped.add(this.#mem, this.#p, 1);
          continue;
        }
        Q.records.set(this.#mem, this.#p, 2 * tail, group);
        Q.records.set(this.#mem, this.#p, 2 * tail + 1, i === pages ? 1 : 0);
        Q.tail.store(this.#mem, this.#p, next);
      }
    });
    waitQueueOf(this.#machine, this.#p, Q.filled).wakeAll();
    return posted;
  }

  #await(p: number): PageResponse {
    this.serve();
    const isDone = completionOf(this.#machine, p, G.done).wait({ timeoutMs: PATIENCE_MS, label: 'iopf' });
    if (isDone) return PAGE_RESPONSES[G.response.load(this.#mem, p) - 1]!;
    this.#machine.diag.warn('iopf-timeout', `function ${G.fn.get(this.#mem, p)}: nobody answered its page request`);
    return 'failure';
  }

  /** Takes the next record out: its group if that is complete, else -1; 0 when there is none for this thread. */
  #take(): number {
    return this.#locked(() => {
      const head = Q.head.load(this.#mem, this.#p);
      if (head === Q.tail.load(this.#mem, this.#p)) return 0;
      const group = Q.records.get(this.#mem, this.#p, 2 * head);
      if (!this.#isMine(group)) return 0;
      Q.head.store(this.#mem, this.#p, (head + 1) % PAGE_REQUEST_RECORDS);
      return Q.records.get(this.#mem, this.#p, 2 * head + 1) === 1 ? group : -1;
    });
  }

  /** Whether the calling thread can answer a group: it has the handler, there is none, or nobody waits any more. */
  #isMine(group: number): boolean {
    const p = this.#machine.slab(G).tryAt(group);
    const handler = p === 0 ? 0 : this.#handlerOf(p);
    return handler === 0 || hasPageFaultHandler(this.#machine, handler);
  }

  /** @kernel iommu_report_device_fault, iopf_group_response */
  #answer(group: number): boolean {
    const p = this.#machine.slab(G).tryAt(group);
    if (p === 0) return false;
    const handler = this.#handlerOf(p);
    const response = handler === 0 ? 'invalid' : this.#handle(p, handler);
    return this.#locked(() => {
      // Whoever asked may have given up meanwhile.
      if (this.#machine.slab(G).tryAt(group) === 0) return false;
      G.response.store(this.#mem, p, PAGE_RESPONSES.indexOf(response) + 1);
      completionOf(this.#machine, p, G.done).complete();
      return true;
    });
  }

  #handle(p: number, handler: number): PageResponse {
    return pageFaultHandler(this.#machine, handler).handle(this.#machine, {
      domain: G.domain.get(this.#mem, p),
      fn: G.fn.get(this.#mem, p),
      iova: G.page.get(this.#mem, p) * PAGE_SIZE,
      pages: G.pages.get(this.#mem, p),
      write: G.write.get(this.#mem, p) === 1,
    });
  }

  #locked<T>(fn: () => T): T {
    return withSpin(this.#machine, this.#p + Q.lock.at, fn);
  }

  /** Number of the handler of a group's domain; 0 for none, or when the domain is gone. */
  #handlerOf(p: number): number {
    const domain = this.#machine.slab(DomainStruct).tryAt(G.domain.get(this.#mem, p));
    return domain === 0 ? 0 : DomainStruct.pageFaultHandler.load(this.#mem, domain);
  }
}
