import { testMachine } from '@dmabuf-emu/shm/testing';
import { expect, test, vi } from 'vitest';
import { HwStruct } from '#dist/hw/hw-struct.js';
import { ownedBy } from '#dist/internal/owned-by.js';

test('a slot that its task frees while a reaper looks at it belongs to nobody', () => {
  using machine = testMachine();
  const slab = machine.slab(HwStruct);
  const [going, staying] = [slab.alloc('test'), slab.alloc('test')];
  for (const ref of [going, staying]) HwStruct.task.set(machine.mem, slab.at(ref), machine.tid);
  const tryAt = slab.tryAt.bind(slab);
  vi.spyOn(slab, 'tryAt').mockImplementationOnce((ref) => {
    const p = tryAt(ref);
    slab.free(ref, 'test');
    return p;
  });
  const left = ownedBy(machine, HwStruct, machine.tid);
  expect(left).toHaveLength(1);
  slab.free(left[0]!, 'test');
});
