import type { Machine } from '@dmabuf-emu/shm';
import { PageList } from '../memory/page-list.ts';
import { UdmabufStruct as U } from './udmabuf-struct.ts';

/** The pages of the udmabuf behind `ref`. */
export function pagesOf(machine: Machine, ref: number): PageList {
  return PageList.of(machine, U.pages.get(machine.mem, machine.slab(U).at(ref)));
}
