import { isKernelError, KernelError, type Machine, waitQueueOf } from '@dmabuf-emu/shm';
import {
  type ConfigSpace,
  ExtCapId,
  PRI_ALLOCATION,
  PRI_CTRL,
  PRI_MAX_REQUESTS,
  PriBit,
} from '../../config-space/index.ts';
import { AtsStruct } from '../ats/ats-struct.ts';
import type { PageFaultGroup, PageResponse } from './page-fault-handler.ts';
import type { PageRequestQueue } from './page-request-queue.ts';

const A = AtsStruct;
/** Most pages that a function asks for in one group. */
const GROUP_PAGES = 8;
/** How long a request waits until enough others are answered. */
const PATIENCE_MS = 10_000;

/** The page requests of one function. */
export class FunctionPri {
  readonly #machine: Machine;
  readonly #bdf: string;
  readonly #config: ConfigSpace;
  readonly #queue: PageRequestQueue;
  readonly #tlb: () => number;

  /** @param tlb - tells the function's `DeviceTlb`, 0 while ATS is off */
  constructor(machine: Machine, bdf: string, config: ConfigSpace, queue: PageRequestQueue, tlb: () => number) {
    this.#machine = machine;
    this.#bdf = bdf;
    this.#config = config;
    this.#queue = queue;
    this.#tlb = tlb;
  }

  /**
   * Lets the function ask for pages.
   * @param requests - how many may be outstanding; the function's own limit where that is lower
   * @throws KernelError EINVAL without the capability, while ATS is off, or for no requests; EBUSY when it is on
   * @kernel pci_enable_pri
   */
  enable(requests: number): void {
    const at = this.#config.findExtCapability(ExtCapId.PRI);
    const p = this.#ats;
    if (at === 0 || p === 0 || !(requests > 0)) {
      const why = at === 0 ? 'no page requests' : p === 0 ? 'ATS is off' : `${requests} requests`;
      throw new KernelError('EINVAL', 'pci_enable_pri', `${this.#bdf}: ${why}`);
    }
    const { mem } = this.#machine;
    if (A.requests.load(mem, p) !== 0) throw new KernelError('EBUSY', 'pci_enable_pri', `${this.#bdf}: it is on`);
    const limit = Math.min(requests, this.#config.read(at + PRI_MAX_REQUESTS, 4) >>> 0);
    this.#config.write(at + PRI_ALLOCATION, 4, limit);
    this.#config.write(at + PRI_CTRL, 2, PriBit.ENABLE);
    A.stopped.store(mem, p, 0);
    A.requests.store(mem, p, limit);
  }

  /** Ends {@link enable}, and forgets that the function was told to stop. @kernel pci_disable_pri, pci_reset_pri */
  disable(): void {
    const p = this.#ats;
    if (p === 0 || A.requests.exchange(this.#machine.mem, p, 0) === 0) return;
    const at = this.#config.findExtCapability(ExtCapId.PRI);
    this.#config.write(at + PRI_CTRL, 2, 0);
    this.#config.write(at + PRI_CTRL, 2, PriBit.RESET);
  }

  /** Requests that are not answered yet, in pages. */
  get outstanding(): number {
    const p = this.#ats;
    return p === 0 ? 0 : A.outstanding.load(this.#machine.mem, p);
  }

  /** Whether the function asks for pages that are not there. */
  get isOn(): boolean {
    const p = this.#ats;
    return p !== 0 && A.requests.load(this.#machine.mem, p) !== 0 && A.stopped.load(this.#machine.mem, p) === 0;
  }

  /**
   * Asks for pages, as many of them as one group may have, and waits for the answer.
   * @returns `invalid` also without memory for a group; `null` while the function does not ask
   */
  request(group: PageFaultGroup): PageResponse | null {
    const p = this.#ats;
    if (!this.isOn) return null;
    const pages = Math.min(group.pages, GROUP_PAGES, A.requests.load(this.#machine.mem, p));
    if (!this.#begin(p, pages)) return 'failure';
    const response = this.#ask({ ...group, pages });
    this.#end(p, pages);
    if (response === 'failure') this.#stop(p);
    return response;
  }

  /** A dead task no longer waits for so many pages. */
  abandon(pages: number): void {
    const p = this.#ats;
    if (p !== 0) this.#end(p, pages);
  }

  #ask(group: PageFaultGroup): PageResponse {
    try {
      return this.#queue.request(group);
    } catch (error) {
      if (isKernelError(error, 'ENOMEM')) return 'invalid';
      throw error;
    }
  }

  /** Waits until no more than the limit are outstanding. False: in vain. */
  #begin(p: number, pages: number): boolean {
    const { mem } = this.#machine;
    const begun = (): boolean => {
      const now = A.outstanding.load(mem, p);
      return now + pages <= A.requests.load(mem, p) && A.outstanding.cas(mem, p, now, now + pages) === now;
    };
    return waitQueueOf(this.#machine, p, A.idle).waitUntil(begun, { timeoutMs: PATIENCE_MS, label: 'pri.limit' });
  }

  #end(p: number, pages: number): void {
    A.outstanding.sub(this.#machine.mem, p, pages);
    waitQueueOf(this.#machine, p, A.idle).wakeAll();
  }

  /** The function was told that something is wrong with it. */
  #stop(p: number): void {
    A.stopped.store(this.#machine.mem, p, 1);
    this.#config.setStatus(this.#config.findExtCapability(ExtCapId.PRI) + PRI_CTRL, PriBit.RESPONSE_FAILURE << 16);
  }

  /** Word of the function's translations; 0 while ATS is off. */
  get #ats(): number {
    const tlb = this.#tlb();
    return tlb === 0 ? 0 : this.#machine.slab(A).at(tlb);
  }
}
