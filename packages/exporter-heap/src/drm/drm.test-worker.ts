import { EventFd, FdTable, OpenFlags } from '@dmabuf-emu/core';
import { DrmFile, registerDrm } from '@dmabuf-emu/exporter-heap';
import { atomicAdd, isKernelError, type Machine, Random } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

interface Args {
  /** Process to be a thread of, and its descriptors of devices: vgem, vkms, virtio_gpu. */
  readonly process: number;
  readonly drm: readonly [number, number, number];
  readonly rounds: number;
  readonly seed: number;
}

const BOTH = OpenFlags.RDWR | OpenFlags.CLOEXEC;
const SMALL = { width: 64, height: 16, bpp: 32 };

/** Does random things with files that other threads use as well; returns how often each went well, and each error. */
await runTestWorker<Args, Record<string, number>>((machine, { process, drm, rounds, seed }) => {
  registerDrm(machine);
  const fds = FdTable.of(machine, process).join();
  const [vgem, vkms, virtio] = drm.map((fd) => DrmFile.of(borrow(fds, fd))) as [DrmFile, DrmFile, DrmFile];
  const random = new Random(seed);
  const pick = (n: number): number => (random.next32() >>> 0) % n;
  const handle = (): number => 1 + pick(6);
  const acts = actsOf({ machine, fds, vgem, vkms, virtio, pick, handle });
  const names = Object.keys(acts);
  const counts: Record<string, number> = {};
  for (let n = 0; n < rounds; n++) {
    const name = names[pick(names.length)]!;
    let what = name;
    try {
      acts[name]!();
    } catch (error) {
      if (!isKernelError(error)) throw error;
      what = error.code;
    }
    counts[what] = (counts[what] ?? 0) + 1;
    atomicAdd(machine.mem, machine.root('test.rounds', 16), 1);
  }
  return counts;
});

/** The process keeps it open. */
function borrow(fds: FdTable, fd: number) {
  const file = fds.get(fd);
  file.put();
  return file;
}

interface World {
  readonly machine: Machine;
  readonly fds: FdTable;
  readonly vgem: DrmFile;
  readonly vkms: DrmFile;
  readonly virtio: DrmFile;
  readonly pick: (n: number) => number;
  readonly handle: () => number;
}

function actsOf({ machine, fds, vgem, vkms, virtio, pick, handle }: World): Record<string, () => void> {
  const device = (): DrmFile => (pick(2) === 0 ? vgem : vkms);
  const withFd = (fd: number, use: () => void): void => {
    try {
      use();
    } finally {
      fds.close(fd);
    }
  };
  const two = (): number[] => [handle(), handle()];
  return {
    create: () => void device().createDumb(SMALL),
    close: () => device().gemClose(handle()),
    share: () => {
      const [from, to] = pick(2) === 0 ? [vgem, vkms] : [vkms, vgem];
      const fd = from.primeHandleToFd(handle(), BOTH);
      withFd(fd, () => void to.primeFdToHandle(fd));
    },
    again: () => {
      const fd = vgem.primeHandleToFd(handle(), BOTH);
      withFd(fd, () => void vgem.primeFdToHandle(fd));
    },
    name: () => void vgem.gemOpen(vgem.gemFlink(handle())),
    move: () => vgem.gemChangeHandle(handle(), 1 + pick(12)),
    map: () => {
      const area = vgem.mmap({ offset: vgem.mapDumb(handle()), length: 4096 });
      area.write(0, Uint8Array.of(1));
      area.unmap();
    },
    fence: () => vgem.vgemFenceSignal({ fence: vgem.vgemFenceAttach({ handle: handle(), flags: pick(2) }) }),
    sync: () => void virtio.syncobjCreate(pick(2)),
    unsync: () => virtio.syncobjDestroy({ handle: handle() }),
    signal: () => virtio.syncobjSignal({ handles: two() }),
    reset: () => virtio.syncobjReset({ handles: [handle()] }),
    points: () => virtio.syncobjTimelineSignal({ handles: two(), points: [pick(9), pick(9)] }),
    query: () => void virtio.syncobjQuery({ handles: two() }),
    wait: () =>
      void virtio.syncobjWait({
        handles: two(),
        points: [pick(9), pick(9)],
        flags: pick(8),
        timeoutNs: machine.clock.nowNs() + pick(3) * 1e6,
      }),
    move_point: () => virtio.syncobjTransfer({ src: handle(), dst: handle(), dstPoint: pick(9) }),
    hand_over: () => {
      const fd = virtio.syncobjHandleToFd({ handle: handle(), flags: pick(2) });
      withFd(fd, () => void virtio.syncobjFdToHandle(fd, { handle: handle(), flags: pick(2) }));
    },
    event: () => {
      const fd = fds.install(EventFd.create(machine).file);
      withFd(fd, () => virtio.syncobjEventfd({ handle: handle(), fd, point: pick(9) }));
    },
  };
}
