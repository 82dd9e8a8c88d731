import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { isKernelError } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { abi, installUapi, MapFlags, Process, Prot, sys } from '@dmabuf-emu/uapi';
import { expect, test } from 'vitest';

const RDWR = 2;
const MEMFD_SEALING = 2;
const SEAL_SHRINK = 2n;

/** A program's life: every kind of file, shared between each other. */
function live(process: Process): void {
  const { memory } = process;
  const call = <F extends object>(
    fd: number,
    { struct, number }: abi.IoctlCommand<abi.AbiStruct<F>>,
    values: Partial<abi.AbiValues<F>>,
  ): abi.AbiValues<F> & { ret: number } =>
    memory.stack.with(struct.encode(values), (address) => {
      const ret = sys.ioctl(process, fd, number, address);
      return { ...memory.get(address, struct), ret };
    });
  const memfd = sys.memfdCreate(process, 'm', MEMFD_SEALING);
  sys.ftruncate(process, memfd, 8192n);
  sys.fcntl(process, memfd, sys.Fcntl.ADD_SEALS, SEAL_SHRINK);
  const udmabuf = sys.open(process, '/dev/udmabuf', RDWR);
  const shared = call(udmabuf, abi.UDMABUF_CREATE, { memfd, size: 8192n }).ret;
  const heap = sys.open(process, '/dev/dma_heap/system', RDWR);
  const buffer = call(heap, abi.DMA_HEAP_IOCTL_ALLOC, { len: 8192n, fd_flags: RDWR }).fd;
  const map = sys.mmap(process, { length: 8192n, prot: Prot.READ | Prot.WRITE, flags: MapFlags.SHARED, fd: buffer });
  process.space.write(map, Uint8Array.of(1));
  const timeline = sys.open(process, '/sys/kernel/debug/sync/sw_sync', RDWR);
  const { fence } = call(timeline, abi.SW_SYNC_IOC_CREATE_FENCE, { value: 1 });
  call(shared, abi.DMA_BUF_IOCTL_IMPORT_SYNC_FILE, { flags: 2, fd: fence });
  const exported = call(shared, abi.DMA_BUF_IOCTL_EXPORT_SYNC_FILE, { flags: 1 }).fd;
  call(exported, abi.SYNC_IOC_MERGE, { fd2: fence });
  const epoll = sys.epollCreate(process, 0);
  sys.epollControl(process, epoll, 'add', shared, { events: 1, data: 1n });
  const card = sys.open(process, '/dev/dri/card0', RDWR);
  call(card, abi.DRM_IOCTL_PRIME_FD_TO_HANDLE, { fd: shared });
  const { handle } = call(card, abi.DRM_IOCTL_MODE_CREATE_DUMB, { width: 64, height: 16, bpp: 32 });
  call(card, abi.DRM_IOCTL_PRIME_HANDLE_TO_FD, { handle, flags: RDWR });
  call(timeline, abi.SW_SYNC_IOC_INC, { value: 1 });
  expect(sys.epollWait(process, epoll, 4, 0)).toHaveLength(1);
}

test('a program whose n-th allocation fails leaves nothing behind, for every n', () => {
  using machine = testMachine({ memoryBytes: 64 << 20 });
  PciSystem.create(machine, { topology: 'genoa-4gpu' });
  installUapi(machine);
  // What exists once per machine is made by a first life.
  const first = Process.create(machine);
  live(first);
  first.exit();
  let failures = 0;
  for (let n = 1; ; n++) {
    machine.faults.failNth(n);
    let process: Process | undefined;
    let complete = false;
    try {
      process = Process.create(machine);
      live(process);
      complete = true;
    } catch (error) {
      expect(isKernelError(error, 'ENOMEM', 'EFAULT')).toBe(true);
      failures++;
    } finally {
      machine.faults.off();
      process?.exit();
    }
    machine.flushWork();
    const report = machine.verify();
    expect([n, report.errors, report.leaks]).toEqual([n, [], []]);
    expect(report.counts).toMatchObject({ uapi_process: 0, file: 0, dma_buf: 0, shmem: 0 });
    if (complete) break;
  }
  expect(failures).toBeGreaterThan(20);
}, 60_000);
