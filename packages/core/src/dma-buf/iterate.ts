import type { Machine } from '@dmabuf-emu/shm';
import { DmaBuf, prepareDmaBufs } from './dma-buf.ts';
import { DmaBufStruct as B } from './internal/structs.ts';

/**
 * Every buffer, newest first; those whose last reference is gone are left out. Each comes with a reference that lasts until
 * the next step. @kernel dma_buf_iter_begin, dma_buf_iter_next
 */
export function* dmaBufs(machine: Machine): Generator<DmaBuf> {
  const state = prepareDmaBufs(machine);
  const { mem, buffers, listMutex } = state;
  let current: DmaBuf | undefined;
  try {
    for (;;) {
      const before = current;
      current = undefined;
      const next = listMutex.with(() => {
        let ref = before === undefined ? mem.i32[state.listHead]! : B.next.get(mem, buffers.at(before.ref));
        for (; ref !== 0; ref = B.next.get(mem, buffers.at(ref))) {
          const found = new DmaBuf(machine, ref);
          if (found.tryGet()) return found;
        }
        return undefined;
      });
      before?.file.put();
      current = next;
      if (current === undefined) return;
      yield current;
    }
  } finally {
    current?.file.put();
  }
}
