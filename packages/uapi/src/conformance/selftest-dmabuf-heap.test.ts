import { OpenFlags, PAGE_BYTES } from '@dmabuf-emu/core';
import { DRM_NODES } from '@dmabuf-emu/exporter-heap';
import type { KernelProfile } from '@dmabuf-emu/shm';
import { abi, MapFlags, Prot, sys } from '@dmabuf-emu/uapi';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errno, programRig, type ProgramRig } from '../process/process.fixture.ts';

/** The cases of selftests/dmabuf-heaps/dmabuf-heap.c (core §7.7): 11 results a heap in 7.1, 12 in 7.3. */
const ONE_MEG = 1 << 20;
const NUM_BUFFERS = 4;
const RDWR_CLOEXEC = OpenFlags.RDWR | OpenFlags.CLOEXEC;
const START_RW = 3n;
const END_RW = 7n;
const { DMA_BUF_IOCTL_SYNC, DMA_HEAP_IOCTL_ALLOC, DRM_IOCTL_PRIME_FD_TO_HANDLE } = abi;
const { struct: Data } = DMA_HEAP_IOCTL_ALLOC;

const HEAPS: [KernelProfile, string][] = [
  ['7.1', 'system'],
  ['7.1', 'default_cma_region'],
  ['7.3', 'system'],
  ['7.3', 'default_cma_region'],
  ['7.3', 'reserved'],
];

let rig: ProgramRig;
let heapFd: number;

function ioctl(fd: number, command: number, bytes: Uint8Array): { ret: number; bytes: Uint8Array } {
  const { process } = rig;
  return process.memory.stack.with(bytes, (address) => {
    const ret = sys.ioctl(process, fd, command, address);
    return { ret, bytes: process.memory.read(address, bytes.length) };
  });
}

/** What dmabuf_heap_alloc_fdflags does: the new descriptor. */
function alloc(len: number, { fdFlags = RDWR_CLOEXEC, heapFlags = 0n, fd = heapFd } = {}): number {
  const data = Data.encode({ len: BigInt(len), fd: 0, fd_flags: fdFlags, heap_flags: heapFlags });
  return Data.decode(ioctl(fd, DMA_HEAP_IOCTL_ALLOC.number, data).bytes).fd;
}

function sync(fd: number, flags: bigint): number {
  const { struct, number } = DMA_BUF_IOCTL_SYNC;
  return ioctl(fd, number, struct.encode({ flags })).ret;
}

function map(fd: number, length: number): bigint {
  const prot = Prot.READ | Prot.WRITE;
  return sys.mmap(rig.process, { length: BigInt(length), prot, flags: MapFlags.SHARED, fd });
}

/** Fills a buffer between the begin and the end of CPU access. */
function fill(fd: number, size: number, value: number): void {
  const at = map(fd, size);
  sync(fd, START_RW);
  rig.process.memory.write(at, new Uint8Array(size).fill(value));
  sync(fd, END_RW);
  sys.munmap(rig.process, at, BigInt(size));
}

function isZero(fd: number, size: number): boolean {
  const at = map(fd, size);
  sync(fd, START_RW);
  const zero = rig.process.memory.read(at, size).every((byte) => byte === 0);
  sync(fd, END_RW);
  sys.munmap(rig.process, at, BigInt(size));
  return zero;
}

describe.each(HEAPS)('kernel %s, Testing heap: %s', (kernel, name) => {
  beforeEach(() => {
    rig = programRig({ kernel });
    heapFd = sys.open(rig.process, `/dev/dma_heap/${name}`, RDWR_CLOEXEC);
  });
  afterEach(() => rig[Symbol.dispose]());

  it('Import buffer 0; test_alloc_and_import dmabuf sync succeeded', () => {
    const fd = alloc(ONE_MEG);
    fill(fd, ONE_MEG / 2, 1);
    const { path } = DRM_NODES.find(({ driver }) => driver === 'vgem')!;
    const vgem = sys.open(rig.process, path, OpenFlags.RDWR);
    const { struct, number } = DRM_IOCTL_PRIME_FD_TO_HANDLE;
    expect(ioctl(vgem, number, struct.encode({ handle: 0, flags: 0, fd })).ret).toBe(0);
    const at = map(fd, ONE_MEG);
    expect(sync(fd, START_RW)).toBe(0);
    rig.process.memory.write(at, new Uint8Array(ONE_MEG).fill(0xff));
    expect(sync(fd, END_RW)).toBe(0);
  });

  it.each([4 * 1024, ONE_MEG])(
    'Allocate and fill a bunch of buffers; Allocate and validate all buffers are zeroed: %i bytes',
    (size) => {
      const dirty = Array.from({ length: NUM_BUFFERS }, () => alloc(size));
      for (const fd of dirty) fill(fd, size, 0xff);
      for (const fd of dirty) sys.close(rig.process, fd);
      const clean = Array.from({ length: NUM_BUFFERS }, () => alloc(size));
      for (const fd of clean) expect(isZero(fd, size)).toBe(true);
    },
  );

  it('dmabuf_heap_alloc_older', () => {
    const older = Data.encode({ len: BigInt(ONE_MEG), fd: 0, fd_flags: RDWR_CLOEXEC, heap_flags: 0n }).subarray(0, 16);
    const command = withSize(DMA_HEAP_IOCTL_ALLOC.number, 16);
    expect(ioctl(heapFd, command, older).ret).toBe(0);
  });

  it('dmabuf_heap_alloc_newer', () => {
    const newer = new Uint8Array(48).fill(0xff, Data.size);
    newer.set(Data.encode({ len: BigInt(ONE_MEG), fd: 0, fd_flags: RDWR_CLOEXEC, heap_flags: 0n }));
    const { ret, bytes } = ioctl(heapFd, withSize(DMA_HEAP_IOCTL_ALLOC.number, 48), newer);
    expect([ret, bytes[47]]).toEqual([0, 0xff]);
  });

  it('Error expected on invalid fd -1', () => {
    expect(() => alloc(ONE_MEG, { fd: 0x7fff, heapFlags: 0x111111n })).toThrow(errno('EBADF'));
  });

  it('Error expected on invalid heap flags -1', () => {
    expect(() => alloc(ONE_MEG, { heapFlags: 0x111111n })).toThrow(errno('EINVAL'));
  });

  it('Error expected on invalid heap flags -1 (the flags of the descriptor)', () => {
    expect(() => alloc(ONE_MEG, { fdFlags: ~RDWR_CLOEXEC })).toThrow(errno('EINVAL'));
  });

  it('fd leak on EFAULT', () => {
    const { process } = rig;
    const anonymous = MapFlags.PRIVATE | MapFlags.ANONYMOUS;
    const at = sys.mmap(process, { length: BigInt(PAGE_BYTES), prot: Prot.READ | Prot.WRITE, flags: anonymous });
    process.memory.write(at, Data.encode({ len: BigInt(ONE_MEG), fd: 0, fd_flags: RDWR_CLOEXEC, heap_flags: 0n }));
    sys.mprotect(process, at, BigInt(PAGE_BYTES), Prot.READ);
    const before = process.fds.size;
    expect(() => sys.ioctl(process, heapFd, DMA_HEAP_IOCTL_ALLOC.number, at)).toThrow(errno('EFAULT'));
    expect(process.fds.size).toBe(before);
  });
});

/** The same command with another size of its struct. */
function withSize(command: number, size: number): number {
  const { type, nr } = abi.ioctlParts(command);
  return abi.ioctlNumber(3, type, nr, size);
}
