import { EventFd, FdTable, type File } from '@dmabuf-emu/core';
import { DrmFile, registerDrm } from '@dmabuf-emu/exporter-heap';
import { isKernelError, Machine, setSyncHook, TaskKilled } from '@dmabuf-emu/shm';
import { expect, it } from 'vitest';
import { BOTH, drmRig, type DrmRig, SMALL } from './drm.fixture.ts';

/** Descriptors that the task that dies and the one that is left both use. */
interface Scene {
  readonly vgem: number;
  readonly vkms: number;
  readonly virtio: number;
  /** Of objects of vgem, the second exported; of vkms. */
  readonly handles: readonly [number, number];
  readonly foreign: number;
  readonly own: number;
  readonly event: number;
}

function setUp(r: DrmRig): Scene {
  const fdOf = (file: File): number => r.fds.entries().find((entry) => entry.file.ref === file.ref)!.fd;
  const [vgem, vkms, virtio] = [r.open('vgem'), r.open('vkms'), r.open('virtio_gpu')];
  const handles = [vgem.createDumb(SMALL).handle, vgem.createDumb(SMALL).handle] as const;
  const foreign = vkms.primeHandleToFd(vkms.createDumb(SMALL).handle, BOTH);
  const own = vgem.primeHandleToFd(handles[1], BOTH);
  const event = r.fds.install(EventFd.create(r.machine).file);
  const [empty, full] = [virtio.syncobjCreate(), virtio.syncobjCreate(1)];
  virtio.syncobjEventfd({ handle: empty, fd: event, point: 3 });
  virtio.syncobjTransfer({ src: full, dst: empty, dstPoint: 1 });
  vgem.vgemFenceAttach({ handle: handles[0] });
  return { vgem: fdOf(vgem.file), vkms: fdOf(vkms.file), virtio: fdOf(virtio.file), handles, foreign, own, event };
}

/** The device behind a descriptor, which stays open meanwhile. */
function drmOf(machine: Machine, fd: number): DrmFile {
  const file = FdTable.current(machine).get(fd);
  file.put();
  return DrmFile.of(file);
}

const OPERATIONS: Record<string, (machine: Machine, scene: Scene) => void> = {
  'makes and maps an object': (machine, { vgem }) => {
    const drm = drmOf(machine, vgem);
    const { handle } = drm.createDumb(SMALL);
    drm.mmap({ offset: drm.mapDumb(handle), length: 4096 }).unmap();
  },
  'closes handles': (machine, { vgem, handles }) => {
    for (const handle of handles) drmOf(machine, vgem).gemClose(handle);
  },
  'names and opens': (machine, { vgem, handles }) => {
    const drm = drmOf(machine, vgem);
    drm.gemOpen(drm.gemFlink(handles[0]));
  },
  'moves a handle': (machine, { vgem, handles }) => drmOf(machine, vgem).gemChangeHandle(handles[1], 40),
  'exports and imports its own': (machine, { vgem, handles }) => {
    const drm = drmOf(machine, vgem);
    drm.primeFdToHandle(drm.primeHandleToFd(handles[0], BOTH));
  },
  'imports a foreign buffer and lets it go': (machine, { vgem, foreign }) => {
    const drm = drmOf(machine, vgem);
    drm.gemClose(drm.primeFdToHandle(foreign));
  },
  'attaches and signals a fence': (machine, { vgem, handles }) => {
    const drm = drmOf(machine, vgem);
    drm.vgemFenceSignal({ fence: drm.vgemFenceAttach({ handle: handles[1], flags: 1 }) });
  },
  'makes, shares and destroys a sync object': (machine, { virtio }) => {
    const drm = drmOf(machine, virtio);
    const fd = drm.syncobjHandleToFd({ handle: drm.syncobjCreate(1) });
    drm.syncobjDestroy({ handle: drm.syncobjFdToHandle(fd) });
    FdTable.current(machine).close(fd);
  },
  'adds points': (machine, { virtio }) =>
    drmOf(machine, virtio).syncobjTimelineSignal({ handles: [1, 1], points: [2, 4] }),
  'transfers and resets': (machine, { virtio }) => {
    const drm = drmOf(machine, virtio);
    drm.syncobjTransfer({ src: 1, dst: 2, dstPoint: 9 });
    drm.syncobjReset({ handles: [1, 2] });
  },
  'waits and has an eventfd told': (machine, { virtio, event }) => {
    const drm = drmOf(machine, virtio);
    drm.syncobjEventfd({ handle: 2, fd: event });
    drm.syncobjEventfd({ handle: 1, fd: event, point: 8 });
    drm.syncobjWait({ handles: [1, 2], points: [1, 0], timeoutNs: 0, flags: 7 });
  },
  'closes the devices': (machine, { vgem, virtio }) => {
    for (const fd of [vgem, virtio]) FdTable.current(machine).close(fd);
  },
};

/** Runs `fn` as a task of its own that dies at its `n`-th sync point; returns its label, undefined when it did not come that far. */
function runUntilDeath(machine: Machine, n: number, fn: (victim: Machine) => void): string | undefined {
  const victim = Machine.join(machine.handle, { name: 'victim' });
  registerDrm(victim);
  FdTable.of(victim, FdTable.current(machine).ref).join();
  let left = n;
  const former = setSyncHook((label) => {
    if (--left === 0) throw new TaskKilled(victim.tid, label);
  });
  try {
    fn(victim);
  } catch (error) {
    if (!(error instanceof TaskKilled)) throw error;
    setSyncHook(former);
    machine.reap(victim.tid);
    return error.label;
  }
  setSyncHook(former);
  victim.leave();
  return undefined;
}

/** Whatever is left can be used: it works, or the kernel says why not. */
function useWhatIsLeft(machine: Machine, scene: Scene): void {
  for (const operation of Object.values(OPERATIONS)) {
    try {
      operation(machine, scene);
    } catch (error) {
      if (!isKernelError(error)) throw error;
    }
  }
}

it.each(Object.keys(OPERATIONS))(
  'a task that dies at any point when it %s leaves the others whole',
  { timeout: 300_000 },
  (name) => {
    let died: string | undefined = '';
    let n = 1;
    for (; died !== undefined; n += n < 20 ? 1 : 7) {
      const r = drmRig({ arenaBytes: 16 << 20, memoryBytes: 1 << 20 });
      const scene = setUp(r);
      died = runUntilDeath(r.machine, n, (victim) => OPERATIONS[name]!(victim, scene));
      expect(r.machine.verify().errors, `sync point ${n}: ${died}`).toEqual([]);
      useWhatIsLeft(r.machine, scene);
      for (const { fd } of r.fds.entries()) r.fds.close(fd);
      expect(r.machine.verify().errors, `sync point ${n}: ${died}, and all closed`).toEqual([]);
      const unexpected = r.machine.diag.unexpected().map(({ code, text }) => `${code}: ${text}`);
      expect(unexpected, `sync point ${n}: ${died}`).toEqual([]);
      r.machine.leave();
    }
    expect(n).toBeGreaterThan(5);
  },
);
