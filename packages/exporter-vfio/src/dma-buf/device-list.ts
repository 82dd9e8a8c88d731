import type { VfioCore } from '../device/vfio-core.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';
import { VfioDmaBufStruct as D } from './dma-buf-struct.ts';
import { ExportedBuffer } from './exported-buffer.ts';

/** Appends a buffer to its device's list. @locks vfio.memory_lock held for writing */
export function link(core: VfioCore, buffer: ExportedBuffer): void {
  const { mem } = core.machine;
  const last = V.last.get(mem, core.p);
  D.prev.set(mem, buffer.p, last);
  D.next.set(mem, buffer.p, 0);
  if (last === 0) V.first.set(mem, core.p, buffer.ref);
  else D.next.set(mem, core.machine.slab(D).at(last), buffer.ref);
  V.last.set(mem, core.p, buffer.ref);
  D.listed.set(mem, buffer.p, 1);
}

/** Takes a buffer off the list; does nothing when it is on none. @locks vfio.memory_lock held for writing */
export function unlink(core: VfioCore, buffer: ExportedBuffer): void {
  const { mem } = core.machine;
  if (D.listed.get(mem, buffer.p) === 0) return;
  const slab = core.machine.slab(D);
  const next = D.next.get(mem, buffer.p);
  const prev = D.prev.get(mem, buffer.p);
  if (prev === 0) V.first.set(mem, core.p, next);
  else D.next.set(mem, slab.at(prev), next);
  if (next === 0) V.last.set(mem, core.p, prev);
  else D.prev.set(mem, slab.at(next), prev);
  D.listed.set(mem, buffer.p, 0);
}

/** The device's buffers, oldest first; each may be unlinked while it is visited. @locks vfio.memory_lock held */
export function* listed(core: VfioCore): Generator<ExportedBuffer> {
  const { mem } = core.machine;
  for (let ref = V.first.get(mem, core.p); ref !== 0;) {
    const buffer = new ExportedBuffer(core.machine, ref);
    ref = D.next.get(mem, buffer.p);
    yield buffer;
  }
}
