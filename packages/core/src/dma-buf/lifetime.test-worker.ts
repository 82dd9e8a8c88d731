import { Device, DmaBuf } from '@dmabuf-emu/core';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { exportRevocable } from './revocable-exporter.test-worker.ts';

interface Args {
  readonly job: 'export-churn' | 'touch';
  readonly rounds: number;
  readonly dmabuf: number;
}

await runTestWorker<Args, unknown>((machine, { job, rounds, dmabuf: ref }) => {
  if (job === 'export-churn') {
    const held: DmaBuf[] = [];
    for (let round = 0; round < rounds; round++) {
      held.push(exportRevocable(machine));
      if (held.length > 3) held.shift()!.put();
    }
    for (const dmabuf of held) dmabuf.put();
    return rounds;
  }
  const dmabuf = DmaBuf.of(machine, ref);
  const device = Device.register(machine, { name: 'stranger0', kind: 'platform' });
  const attempts = [
    () => dmabuf.attach(device),
    () => dmabuf.put(),
    () => dmabuf.mmap({ offset: 0, length: 4096 }),
    () => dmabuf.beginCpuAccess(0),
  ];
  return attempts.map((attempt) => {
    try {
      attempt();
      return 'done';
    } catch (error) {
      return String(error);
    }
  });
});
