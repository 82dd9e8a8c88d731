import { MapFlags, MemorySignal, type Process, Prot, sys } from '@dmabuf-emu/uapi';
import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { errno, programRig } from './process.fixture.ts';

const PAGE = 4096n;
const ANON = MapFlags.ANONYMOUS | MapFlags.PRIVATE;
const RW = Prot.READ | Prot.WRITE;

function signal(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    if (error instanceof MemorySignal) return error.signal;
    throw error;
  }
  return 'none';
}

const anonymous = (process: Process, pages: bigint, prot: number = RW, address = 0n): bigint =>
  sys.mmap(process, { address, length: pages * PAGE, prot, flags: ANON });

describe('user memory', () => {
  test('the kernel reads and writes mappings and the stack by address', () => {
    using rig = programRig();
    const { process } = rig;
    const at = anonymous(process, 2n);
    process.memory.write(at + 4090n, Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]));
    expect([...process.memory.read(at + 4094n, 3)]).toEqual([5, 6, 7]);
    process.memory.stack.with(Uint8Array.of(7, 0), (address) => {
      expect([...process.memory.string(address, 32)]).toEqual([7]);
      process.memory.write(address, Uint8Array.of(9));
      expect([...process.memory.read(address, 2)]).toEqual([9, 0]);
    });
  });

  test('EFAULT where nothing is mapped, beyond the program, on a stack that is gone, and where a test wants it', () => {
    using rig = programRig();
    const { memory } = rig.process;
    const at = anonymous(rig.process, 1n);
    for (const address of [0n, 1n, at + PAGE, 2n ** 47n, 2n ** 64n - 1n]) {
      expect(() => memory.read(address, 1)).toThrow(errno('EFAULT'));
      expect(() => memory.write(address, Uint8Array.of(1))).toThrow(errno('EFAULT'));
    }
    expect(() => memory.read(at + PAGE - 1n, 2)).toThrow(errno('EFAULT'));
    const gone = memory.stack.with(Uint8Array.of(1), (address) => address);
    expect(() => memory.read(gone, 1)).toThrow(errno('EFAULT'));
    memory.failAt(at + 8n, 4);
    expect(() => memory.read(at, 16)).toThrow(errno('EFAULT'));
    expect(memory.read(at, 8)).toHaveLength(8);
    memory.failAt(0n, 0);
    expect(memory.read(at, 16)).toHaveLength(16);
  });

  test('a text without an end within its limit is EINVAL', () => {
    using rig = programRig();
    rig.process.memory.stack.with(new Uint8Array(40).fill(65), (address) => {
      expect(() => rig.process.memory.string(address, 32)).toThrow(errno('EINVAL'));
    });
  });
});

describe('mappings', () => {
  test('protection: what may not be is SIGSEGV, mprotect changes it page by page', () => {
    using rig = programRig();
    const { process } = rig;
    const at = anonymous(process, 3n, Prot.READ);
    expect(signal(() => process.space.write(at, Uint8Array.of(1)))).toBe('SIGSEGV');
    sys.mprotect(process, at + PAGE, PAGE, RW);
    process.space.write(at + PAGE, Uint8Array.of(1));
    expect(process.space.areas).toHaveLength(3);
    expect(signal(() => process.space.write(at + 2n * PAGE - 1n, Uint8Array.of(1, 2)))).toBe('SIGSEGV');
    sys.mprotect(process, at, PAGE, Prot.NONE);
    expect(signal(() => process.space.read(at, 1))).toBe('SIGSEGV');
    expect(() => sys.mprotect(process, at, 4n * PAGE, RW)).toThrow(errno('ENOMEM'));
    expect(() => sys.mprotect(process, at + 1n, PAGE, RW)).toThrow(errno('EINVAL'));
  });

  test('a place: the hint when it is free, FIXED replaces, FIXED_NOREPLACE is EEXIST', () => {
    using rig = programRig();
    const { process } = rig;
    const hint = 0x100000000000n;
    expect(anonymous(process, 2n, RW, hint + 5n)).toBe(hint);
    expect(anonymous(process, 1n, RW, hint)).not.toBe(hint);
    const fixed = { address: hint, length: PAGE, prot: RW };
    expect(() => sys.mmap(process, { ...fixed, flags: ANON | MapFlags.FIXED_NOREPLACE })).toThrow(errno('EEXIST'));
    process.space.write(hint, Uint8Array.of(1));
    expect(sys.mmap(process, { ...fixed, flags: ANON | MapFlags.FIXED })).toBe(hint);
    expect(process.space.read(hint, 1)[0]).toBe(0);
  });

  test.each([
    [{ length: 0n }, 'EINVAL'],
    [{ length: 2n ** 64n - 1n }, 'ENOMEM'],
    [{ length: 2n ** 48n }, 'ENOMEM'],
    [{ length: PAGE, offset: 1n }, 'EINVAL'],
    [{ length: PAGE, offset: 2n ** 64n - PAGE, fd: 0 }, 'EOVERFLOW'],
    [{ length: PAGE, flags: 0, fd: 0 }, 'EINVAL'],
    [{ length: PAGE, fd: 99 }, 'EBADF'],
    [{ length: PAGE, fd: 0 }, 'ENODEV'],
  ] as const)('mmap of %o is %s', (given, code) => {
    using rig = programRig();
    expect(sys.open(rig.process, '/dev/null', 2)).toBe(0);
    const flags = 'fd' in given ? MapFlags.SHARED : ANON;
    expect(() => sys.mmap(rig.process, { prot: RW, flags, ...given })).toThrow(errno(code));
    expect(rig.process.space.areas).toEqual([]);
  });

  test('mremap shrinks, grows in place or elsewhere, and moves what is written', () => {
    using rig = programRig();
    const { process } = rig;
    const at = anonymous(process, 4n, RW, 0x200000000000n);
    process.space.write(at + PAGE, Uint8Array.of(42));
    expect(sys.mremap(process, at, 4n * PAGE, 2n * PAGE, 0)).toBe(at);
    expect(signal(() => process.space.read(at + 2n * PAGE, 1))).toBe('SIGSEGV');
    expect(sys.mremap(process, at, 2n * PAGE, 3n * PAGE, 0)).toBe(at);
    anonymous(process, 1n, RW, at + 3n * PAGE);
    expect(() => sys.mremap(process, at, 3n * PAGE, 4n * PAGE, 0)).toThrow(errno('ENOMEM'));
    const moved = sys.mremap(process, at, 3n * PAGE, 4n * PAGE, sys.MREMAP_MAYMOVE);
    expect(moved).not.toBe(at);
    expect(process.space.read(moved + PAGE, 1)[0]).toBe(42);
    expect(signal(() => process.space.read(at, 1))).toBe('SIGSEGV');
    expect(() => sys.mremap(process, at, PAGE, 2n * PAGE, 0)).toThrow(errno('EFAULT'));
    expect(() => sys.mremap(process, moved, PAGE, 0n, 0)).toThrow(errno('EINVAL'));
  });

  test.each([MapFlags.SHARED, MapFlags.PRIVATE])('mremap lets a mapping of a memfd grow, flags %i', (flags) => {
    using rig = programRig();
    const { process } = rig;
    const fd = sys.memfdCreate(process, 'm', 0);
    sys.ftruncate(process, fd, 3n * PAGE);
    const at = sys.mmap(process, { length: PAGE, prot: RW, flags, fd, offset: PAGE });
    process.space.write(at, Uint8Array.of(7));
    const moved = sys.mremap(process, at, PAGE, 3n * PAGE, sys.MREMAP_MAYMOVE);
    expect(process.space.read(moved, 1)[0]).toBe(7);
    process.space.write(moved + PAGE, Uint8Array.of(8));
    const buffer = anonymous(process, 1n);
    sys.pread(process, fd, buffer, 1n, 2n * PAGE);
    expect(process.space.read(buffer, 1)[0]).toBe(flags === MapFlags.SHARED ? 8 : 0);
    expect(signal(() => process.space.read(moved + 2n * PAGE, 1))).toBe('SIGBUS');
    sys.munmap(process, moved, 3n * PAGE);
    sys.close(process, fd);
  });

  test('madvise DONTNEED zeroes memory without a file', () => {
    using rig = programRig();
    const { process } = rig;
    const at = anonymous(process, 2n);
    process.space.write(at, Uint8Array.of(1));
    sys.madvise(process, at, PAGE, sys.Advice.DONTNEED);
    expect(process.space.read(at, 1)[0]).toBe(0);
    expect(() => sys.madvise(process, at, 3n * PAGE, 0)).toThrow(errno('ENOMEM'));
    expect(() => sys.madvise(process, at, PAGE, 77)).toThrow(errno('EINVAL'));
  });

  test('each part of a mapping that is split holds the file', () => {
    using rig = programRig();
    const { process } = rig;
    const fd = sys.memfdCreate(process, 'm', 2);
    sys.ftruncate(process, fd, 4n * PAGE);
    const at = sys.mmap(process, { length: 4n * PAGE, prot: RW, flags: MapFlags.SHARED, fd });
    const file = process.fds.get(fd);
    const before = file.count;
    sys.munmap(process, at + PAGE, PAGE);
    expect(file.count).toBe(before + 1);
    process.space.write(at + 3n * PAGE, Uint8Array.of(5));
    sys.munmap(process, at, 4n * PAGE);
    expect(file.count).toBe(before - 1);
    file.put();
    const bytes = process.memory.stack.with(Uint8Array.of(0), (address) => {
      sys.pread(process, fd, address, 1n, 3n * PAGE);
      return process.memory.read(address, 1);
    });
    expect(bytes).toEqual(Uint8Array.of(5));
  });
});

test('a random sequence of calls leaves the memory that a plain model has', () => {
  const page = fc.integer({ min: 0, max: 15 });
  const step = fc.record({
    kind: fc.constantFrom('map', 'unmap', 'protect', 'poke'),
    page,
    pages: fc.integer({ min: 1, max: 6 }),
    byte: fc.integer({ min: 1, max: 255 }),
  });
  const base = 0x300000000000n;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      using rig = programRig();
      const { process } = rig;
      const model = new Map<number, { prot: number; byte: number }>();
      for (const { kind, page: first, pages, byte } of steps) {
        const address = base + BigInt(first) * PAGE;
        const range = Array.from({ length: pages }, (_, i) => first + i);
        if (kind === 'map') {
          anonymousAt(process, address, pages);
          for (const index of range) model.set(index, { prot: RW, byte: 0 });
        } else if (kind === 'unmap') {
          sys.munmap(process, address, BigInt(pages) * PAGE);
          for (const index of range) model.delete(index);
        } else if (kind === 'protect') {
          const hole = range.findIndex((index) => !model.has(index));
          const prot = byte % 2 === 0 ? Prot.READ : RW;
          const call = (): void => sys.mprotect(process, address, BigInt(pages) * PAGE, prot);
          if (hole === -1) call();
          else expect(call).toThrow(errno('ENOMEM'));
          for (const index of hole === -1 ? range : range.slice(0, hole)) model.get(index)!.prot = prot;
        } else {
          const cell = model.get(first);
          const outcome = signal(() => process.space.write(address, Uint8Array.of(byte)));
          expect(outcome).toBe(cell === undefined || cell.prot === Prot.READ ? 'SIGSEGV' : 'none');
          if (outcome === 'none') cell!.byte = byte;
        }
      }
      for (let index = 0; index < 24; index++) {
        const address = base + BigInt(index) * PAGE;
        const cell = model.get(index);
        if (cell === undefined) expect(signal(() => process.space.read(address, 1))).toBe('SIGSEGV');
        else expect(process.space.read(address, 1)[0]).toBe(cell.byte);
      }
    }),
    { numRuns: propertyRuns(25) },
  );
});

function anonymousAt(process: Process, address: bigint, pages: number): void {
  sys.mmap(process, { address, length: BigInt(pages) * PAGE, prot: RW, flags: ANON | MapFlags.FIXED });
}
