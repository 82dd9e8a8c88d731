import { i32, ref, struct, u53 } from '@dmabuf-emu/shm';

/** Memory that a program has mapped. @kernel vm_area_struct */
export const UserAreaStruct = struct('user_area', {
  task: i32(),
  vaddr: u53(),
  bytes: u53(),
  /** Where it is: one physical range. */
  paddr: u53(),
  /** Bit of {@link AreaKind}. */
  kind: i32(),
  /** Pins that keep its pages. */
  pins: i32(),
  /** 1: no longer mapped, 2: and its pages were given back. */
  gone: i32(),
});

/** Pages of an area that devices may reach. */
export const UserPinStruct = struct('user_pin', {
  task: i32(),
  next: ref(),
  area: ref(),
  paddr: u53(),
  bytes: u53(),
});

/** Pages of RAM; or a BAR's, which have no struct page. @kernel VM_PFNMAP */
export const AreaKind = { ANONYMOUS: 0, PFNMAP: 1 } as const;
