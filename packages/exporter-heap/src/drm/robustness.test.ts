import { DmaBuf, EventFd, FdTable } from '@dmabuf-emu/core';
import { DrmFile } from '@dmabuf-emu/exporter-heap';
import { atomicLoad, isKernelError, type Machine } from '@dmabuf-emu/shm';
import { startTestWorker } from '@dmabuf-emu/shm/testing';
import { expect, it } from 'vitest';
import { BOTH, drmRig, type DrmRig, SMALL } from './drm.fixture.ts';
import { rig } from '../testing/rig.fixture.ts';

/** Everything that allocates; whatever was opened is open when it throws. */
function useEverything(machine: Machine, fds: FdTable): void {
  const open = (driver: 'vgem' | 'vkms' | 'virtio_gpu'): DrmFile => {
    const drm = DrmFile.open(machine, driver);
    try {
      fds.install(drm.file);
    } catch (error) {
      drm.file.put();
      throw error;
    }
    return drm;
  };
  const [vgem, vkms, virtio] = [open('vgem'), open('vkms'), open('virtio_gpu')];
  const { handle } = vgem.createDumb(SMALL);
  vgem.mmap({ offset: vgem.mapDumb(handle), length: 4096 }).unmap();
  vgem.gemOpen(vgem.gemFlink(handle));
  const fd = vgem.primeHandleToFd(handle, BOTH);
  const there = vkms.primeFdToHandle(fd);
  vkms.primeHandleToFd(there, BOTH);
  vgem.gemChangeHandle(handle, 40);
  vgem.vgemFenceAttach({ handle: 40, flags: 1 });
  const dmabuf = DmaBuf.get(machine, fd);
  try {
    dmabuf.vunmapUnlocked(dmabuf.vmapUnlocked());
  } finally {
    dmabuf.put();
  }
  useSyncobjs(machine, fds, virtio);
}

function useSyncobjs(machine: Machine, fds: FdTable, drm: DrmFile): void {
  const [a, b] = [drm.syncobjCreate(1), drm.syncobjCreate()];
  const event = EventFd.create(machine);
  let fd: number;
  try {
    fd = fds.install(event.file);
  } catch (error) {
    event.file.put();
    throw error;
  }
  drm.syncobjEventfd({ handle: b, fd, point: 3 });
  drm.syncobjTransfer({ src: a, dst: b, dstPoint: 2 });
  drm.syncobjTimelineSignal({ handles: [b, b], points: [3, 4] });
  drm.syncobjWait({ handles: [a, b], points: [0, 4], timeoutNs: 0, flags: 1 });
  drm.syncobjSignal({ handles: [a, b] });
  drm.syncobjFdToHandle(drm.syncobjHandleToFd({ handle: a }));
  drm.syncobjFdToHandle(drm.syncobjHandleToFd({ handle: a, flags: 1 }), { handle: b, flags: 3, point: 9 });
}

it('whichever allocation fails, all is undone', () => {
  using r = rig();
  const { machine } = r;
  const fds = FdTable.current(machine);
  machine.diag.expect('warn', 'dma_buf_vmap');
  // Names, drivers and slabs of the first time are there to stay.
  useEverything(machine, fds);
  for (const { fd } of fds.entries()) fds.close(fd);
  let n = 1;
  for (; ; n++) {
    const { count } = machine.faults;
    machine.faults.failNth(n);
    try {
      useEverything(machine, fds);
    } catch (error) {
      // drm_syncobj_export_sync_file says EINVAL when there is no memory.
      if (!isKernelError(error, 'ENOMEM', 'EINVAL')) throw error;
    } finally {
      machine.faults.off();
    }
    expect(machine.verify().errors, `allocation ${n}`).toEqual([]);
    for (const { fd } of fds.entries()) fds.close(fd);
    const { errors, leaks, counts } = machine.verify();
    expect([errors, leaks, counts['drm_gem_object'], counts['dma_buf'], counts['drm_syncobj']]).toEqual([
      [],
      [],
      0,
      0,
      0,
    ]);
    expect(counts['slab:timer_list']).toBe(0);
    if (machine.faults.count === count) break;
  }
  expect(n).toBeGreaterThan(60);
});

const worker = new URL(import.meta.resolve('#dist/drm/drm.test-worker.js'));

function startActors(r: DrmRig, count: number, rounds: number) {
  const drm = (['vgem', 'vkms', 'virtio_gpu'] as const).map((driver) => {
    const { file } = r.open(driver);
    return r.fds.entries().find((entry) => entry.file.ref === file.ref)!.fd;
  });
  const seed = Math.floor(performance.now());
  return Array.from({ length: count }, (_, i) => {
    const args = { process: r.fds.ref, drm, rounds, seed: seed + i };
    return { seed: seed + i, ...startTestWorker<Record<string, number>>(worker, r.machine, args, `actor ${i}`) };
  });
}

it('threads share files, objects, names and sync objects', { timeout: 120_000 }, async () => {
  using r = drmRig();
  const actors = startActors(r, 3, 1500);
  const all: Record<string, number> = {};
  for (const { result, seed } of actors) {
    const counts = await result.catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`);
    });
    for (const [what, n] of Object.entries(counts)) all[what] = (all[what] ?? 0) + n;
  }
  const rare = ['create', 'share', 'again', 'name', 'move', 'map', 'fence', 'wait', 'move_point', 'hand_over', 'event'];
  expect(rare.filter((what) => !(all[what]! > 0))).toEqual([]);
  expect(Object.keys(all)).not.toContain('ENOMEM');
  expect(r.machine.verify().errors).toEqual([]);
});

it('a thread that dies anywhere leaves damage at worst, and nobody waits for it', { timeout: 120_000 }, async () => {
  for (let round = 0; round < 3; round++) {
    const r = drmRig();
    const { machine } = r;
    const [victim, other] = startActors(r, 2, 1_000_000);
    const rounds = machine.root('test.rounds', 16);
    await expect.poll(() => atomicLoad(machine.mem, rounds), { timeout: 20_000, interval: 1 }).toBeGreaterThan(40);
    const idOf = (actor: string) => machine.tasks().find(({ name }) => name === actor)?.id;
    await expect
      .poll(() => idOf('actor 0') !== undefined && idOf('actor 1') !== undefined, { timeout: 20_000 })
      .toBe(true);
    const id = idOf('actor 0')!;
    await victim!.worker.terminate();
    machine.reap(id);
    const before = atomicLoad(machine.mem, rounds);
    const goesOn = () => atomicLoad(machine.mem, rounds) > before + 20 || machine.tasks();
    await expect.poll(goesOn, { timeout: 20_000, interval: 1, message: `seed ${victim!.seed}` }).toBe(true);
    await other!.worker.terminate();
    machine.reap(idOf('actor 1')!);
    expect(machine.verify().errors, `seed ${victim!.seed}`).toEqual([]);
    machine.leave();
  }
});

it('what a thread imported stays attached when it dies, until the process lets go', async () => {
  using r = drmRig();
  const [g, k] = [r.open('vgem'), r.open('vkms')];
  const fd = k.primeHandleToFd(k.createDumb(SMALL).handle, BOTH);
  const url = new URL(import.meta.resolve('#dist/drm/prime/importer.test-worker.js'));
  const { worker: thread } = startTestWorker(url, r.machine, { process: r.fds.ref, drm: 0, dmabuf: fd }, 'importer');
  const importer = () => r.machine.tasks().find(({ waitingFor }) => waitingFor?.label === 'test.imported');
  await expect.poll(importer, { timeout: 20_000, interval: 2 }).toBeDefined();
  const { id } = importer()!;
  await thread.terminate();
  r.machine.reap(id);
  expect(r.count(fd)).toBe(6);
  expect(g.primeFdToHandle(fd)).toBe(1);
  g.gemClose(1);
  expect(r.count(fd)).toBe(3);
  expect(r.machine.verify()).toMatchObject({ errors: [], leaks: [], counts: { dma_buf_attachment: 0 } });
});
