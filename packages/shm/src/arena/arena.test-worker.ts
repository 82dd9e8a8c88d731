import type { Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

await runTestWorker((machine: Machine, { texts, onceAt }: { texts: string[]; onceAt?: number }) => {
  if (onceAt !== undefined) machine.once('bump', () => (machine.mem.i32[onceAt]! += 1));
  return texts.map((text) => machine.intern(text));
});
