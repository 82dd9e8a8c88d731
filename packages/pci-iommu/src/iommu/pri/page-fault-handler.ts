import type { Machine } from '@dmabuf-emu/shm';

const DRIVER = 'iopf';

/** What the IOMMU tells a function that asked for pages. @kernel enum iommu_page_response_code */
export const PAGE_RESPONSES = ['success', 'invalid', 'failure'] as const;
export type PageResponse = (typeof PAGE_RESPONSES)[number];

/** Pages that a function asked for in one group. @kernel struct iopf_group */
export interface PageFaultGroup {
  /** Ref of the domain. */
  readonly domain: number;
  /** Index of the function. */
  readonly fn: number;
  readonly iova: number;
  readonly pages: number;
  readonly write: boolean;
}

/** Code that makes pages present when functions ask for them. */
export interface PageFaultHandler {
  /** Name that it is registered under. */
  readonly name: string;
  /**
   * Maps the pages (`success`: the function tries again), or refuses: `invalid` fails this access, `failure` makes the function
   * stop asking. Runs without locks, in whichever thread serves the queue.
   * @kernel iommu_domain.iopf_handler
   */
  handle(machine: Machine, group: PageFaultGroup): PageResponse;
}

/** Makes a handler available in the calling thread. Returns its number. */
export function installPageFaultHandler(machine: Machine, handler: PageFaultHandler): number {
  return machine.drivers.register(DRIVER, handler.name, handler);
}

/** Number of the handler of that name, registered here or not. */
export function pageFaultHandlerId(machine: Machine, name: string): number {
  return machine.drivers.id(DRIVER, name);
}

/** Whether the calling thread has a handler. */
export function hasPageFaultHandler(machine: Machine, id: number): boolean {
  return machine.drivers.has(DRIVER, id);
}

/** @throws UsageError when the calling thread has not registered it */
export function pageFaultHandler(machine: Machine, id: number): PageFaultHandler {
  return machine.drivers.get<PageFaultHandler>(DRIVER, id);
}
