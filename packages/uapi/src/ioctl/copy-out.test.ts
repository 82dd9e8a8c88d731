import { abi, MapFlags, type Process, Prot, sys } from '@dmabuf-emu/uapi';
import { describe, expect, test } from 'vitest';
import { errno, programRig } from '../process/process.fixture.ts';

const RDWR = 2;

/** The address of bytes that the kernel can read but not write. */
function readOnly(process: Process, bytes: Uint8Array): bigint {
  const length = 4096n;
  const flags = MapFlags.PRIVATE | MapFlags.ANONYMOUS;
  const at = sys.mmap(process, { length, prot: Prot.READ | Prot.WRITE, flags });
  process.space.write(at, bytes);
  sys.mprotect(process, at, length, Prot.READ);
  return at;
}

function heapBuffer(process: Process): number {
  const heap = sys.open(process, '/dev/dma_heap/system', RDWR);
  const { struct, number } = abi.DMA_HEAP_IOCTL_ALLOC;
  return process.memory.stack.with(struct.encode({ len: 4096n, fd_flags: RDWR }), (address) => {
    sys.ioctl(process, heap, number, address);
    return process.memory.get(address, struct).fd;
  });
}

function fence(process: Process): { timeline: number; fd: number } {
  const timeline = sys.open(process, '/sys/kernel/debug/sync/sw_sync', RDWR);
  const { struct, number } = abi.SW_SYNC_IOC_CREATE_FENCE;
  return process.memory.stack.with(struct.encode({ value: 1 }), (address) => {
    sys.ioctl(process, timeline, number, address);
    return { timeline, fd: process.memory.get(address, struct).fence };
  });
}

describe('an answer that cannot be stored is EFAULT and leaves no descriptor behind', () => {
  interface Files {
    readonly heap: number;
    readonly buffer: number;
    readonly sync: number;
    readonly timeline: number;
  }
  type Case = (files: Files) => { readonly fd: number; readonly number: number; readonly bytes: Uint8Array };
  const alloc: Case = ({ heap }) => {
    const { number, struct } = abi.DMA_HEAP_IOCTL_ALLOC;
    return { fd: heap, number, bytes: struct.encode({ len: 4096n, fd_flags: RDWR }) };
  };
  const exportSync: Case = ({ buffer }) => {
    const { number, struct } = abi.DMA_BUF_IOCTL_EXPORT_SYNC_FILE;
    return { fd: buffer, number, bytes: struct.encode({ flags: 1 }) };
  };
  const merge: Case = ({ sync }) => {
    const { number, struct } = abi.SYNC_IOC_MERGE;
    return { fd: sync, number, bytes: struct.encode({ fd2: sync }) };
  };
  const createFence: Case = ({ timeline }) => {
    const { number, struct } = abi.SW_SYNC_IOC_CREATE_FENCE;
    return { fd: timeline, number, bytes: struct.encode({ value: 9 }) };
  };

  test.each([
    ['DMA_HEAP_IOCTL_ALLOC', alloc],
    ['DMA_BUF_IOCTL_EXPORT_SYNC_FILE', exportSync],
    ['SYNC_IOC_MERGE', merge],
    ['SW_SYNC_IOC_CREATE_FENCE', createFence],
  ])('%s', (_, make) => {
    using rig = programRig();
    const { process } = rig;
    const heap = sys.open(process, '/dev/dma_heap/system', RDWR);
    const { timeline, fd: sync } = fence(process);
    const { fd, number, bytes } = make({ heap, buffer: heapBuffer(process), sync, timeline });
    const address = readOnly(process, bytes);
    const before = process.fds.size;
    expect(() => sys.ioctl(process, fd, number, address)).toThrow(errno('EFAULT'));
    expect(process.fds.size).toBe(before);
    expect(() => sys.ioctl(process, fd, number, 0n)).toThrow(errno('EFAULT'));
    expect(process.fds.size).toBe(before);
  });

  test('older kernels leave the descriptor of a heap open', () => {
    using rig = programRig({ quirks: ['uapi.heapFaultKeepsFd'] });
    const { process } = rig;
    const heap = sys.open(process, '/dev/dma_heap/system', RDWR);
    const { struct, number } = abi.DMA_HEAP_IOCTL_ALLOC;
    const address = readOnly(process, struct.encode({ len: 4096n, fd_flags: RDWR }));
    expect(() => sys.ioctl(process, heap, number, address)).toThrow(errno('EFAULT'));
    expect(sys.readFdLink(process, heap + 1)).toBe('/dmabuf:');
  });
});

describe('DRM devices', () => {
  test('take structs that are shorter or longer than theirs, and give the tail back as it was', () => {
    using rig = programRig();
    const { process } = rig;
    const drm = sys.open(process, '/dev/dri/card0', RDWR);
    const { struct, number } = abi.DRM_IOCTL_MODE_CREATE_DUMB;
    const long = new Uint8Array(struct.size + 8).fill(0xee);
    long.set(struct.encode({ width: 64, height: 16, bpp: 32 }));
    const longer = ((number & ~(0x3fff << 16)) | (long.length << 16)) >>> 0;
    process.memory.stack.with(long, (address) => {
      expect(sys.ioctl(process, drm, longer, address)).toBe(0);
      expect(process.memory.get(address, struct)).toMatchObject({ handle: 1, pitch: 256, size: 4096n });
      expect([...process.memory.read(address + BigInt(struct.size), 8)]).toEqual(Array.from({ length: 8 }, () => 0xee));
    });
    const short = ((number & ~(0x3fff << 16)) | (16 << 16)) >>> 0;
    process.memory.stack.with(struct.encode({ width: 64, height: 16, bpp: 32, handle: 77 }), (address) => {
      expect(sys.ioctl(process, drm, short, address)).toBe(0);
      expect(process.memory.get(address, struct)).toMatchObject({ handle: 77, pitch: 0 });
    });
  });

  test.each([
    [0xc0086495, 'EINVAL'],
    [0xc008647f, 'EINVAL'],
    [0xc0086509, 'ENOTTY'],
    [0x5401, 'ENOTTY'],
  ])('command 0x%s of another device is %s', (command, code) => {
    using rig = programRig();
    const drm = sys.open(rig.process, '/dev/dri/card0', RDWR);
    expect(() => sys.ioctl(rig.process, drm, command, 0n)).toThrow(errno(code as 'EINVAL'));
  });
});

test('every file takes the commands for close-on-exec and for waiting', () => {
  using rig = programRig();
  const { process } = rig;
  const fd = sys.open(process, '/dev/null', RDWR);
  expect(sys.ioctl(process, fd, 0x5451, 0n)).toBe(0);
  expect(sys.fcntl(process, fd, sys.Fcntl.GETFD)).toBe(1);
  expect(sys.ioctl(process, fd, 0x5450, 0n)).toBe(0);
  expect(sys.fcntl(process, fd, sys.Fcntl.GETFD)).toBe(0);
  process.memory.stack.with(Uint8Array.of(1, 0, 0, 0), (address) => {
    expect(sys.ioctl(process, fd, 0x5421, address)).toBe(0);
  });
  expect(sys.fcntl(process, fd, sys.Fcntl.GETFL) & 0o4000).toBe(0o4000);
  expect(() => sys.ioctl(process, fd, 0x5421, 0n)).toThrow(errno('EFAULT'));
  expect(() => sys.ioctl(process, fd, 0x1234, 0n)).toThrow(errno('ENOTTY'));
  expect(() => sys.ioctl(process, 99, 0x1234, 0n)).toThrow(errno('EBADF'));
});
