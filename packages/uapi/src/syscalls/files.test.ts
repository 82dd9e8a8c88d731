import { type Process, sys } from '@dmabuf-emu/uapi';
import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { errno, programRig } from '../process/process.fixture.ts';

const [RDONLY, WRONLY, RDWR, CLOEXEC] = [0, 1, 2, 0o2000000];
const SEALING = 2;

function readText(process: Process, fd: number, count: number): string {
  const { memory } = process;
  return memory.stack.with(new Uint8Array(count), (address) => {
    const length = sys.read(process, fd, address, BigInt(count));
    return Buffer.from(memory.read(address, length)).toString('latin1');
  });
}

function writeText(process: Process, fd: number, text: string): number {
  const bytes = Buffer.from(text, 'latin1');
  return process.memory.stack.with(bytes, (address) => sys.write(process, fd, address, BigInt(bytes.length)));
}

describe('open', () => {
  test.each([
    ['/nowhere', RDWR, 'ENOENT'],
    ['/tmp', RDWR, 'EISDIR'],
    ['/dev/null', 0o200000, 'ENOTDIR'],
  ] as const)('%s with flags %i is %s', (path, flags, code) => {
    using rig = programRig();
    expect(() => sys.open(rig.process, path, flags)).toThrow(errno(code));
    expect(rig.process.fds.size).toBe(0);
  });

  test('a program without a free descriptor is told that, whatever the path', () => {
    using rig = programRig();
    sys.setrlimit(rig.process, 'NOFILE', 1n);
    expect(sys.open(rig.process, '/dev/null', RDWR | CLOEXEC)).toBe(0);
    expect(() => sys.open(rig.process, '/nowhere', RDWR)).toThrow(errno('EMFILE'));
    expect(() => sys.setrlimit(rig.process, 'NOFILE', 1n << 30n)).toThrow(errno('EPERM'));
  });

  test('others than root open what its permissions allow', () => {
    using rig = programRig();
    const { process } = rig;
    sys.dropRoot(process);
    expect([process.uid, process.gid]).toEqual([65_534, 65_534]);
    expect(sys.open(process, '/dev/null', RDWR)).toBe(0);
    expect(sys.open(process, '/sys/module/udmabuf/parameters/list_limit', RDONLY)).toBe(1);
    expect(() => sys.open(process, '/sys/module/udmabuf/parameters/list_limit', WRONLY)).toThrow(errno('EACCES'));
    expect(() => sys.open(process, '/dev/udmabuf', RDONLY)).toThrow(errno('EACCES'));
    expect(() => sys.dropRoot(process)).toThrow(errno('EPERM'));
  });
});

describe('texts of the kernel', () => {
  test('are read in pieces, and from anywhere', () => {
    using rig = programRig();
    const { process } = rig;
    const fd = sys.open(process, '/sys/kernel/debug/dma_buf/bufinfo', RDONLY);
    let text = '';
    for (let part = readText(process, fd, 7); part !== ''; part = readText(process, fd, 7)) text += part;
    expect(text).toMatch(/^\nDma-buf Objects:\n[^]*\nTotal 0 objects, 0 bytes\n$/);
    expect(sys.lseek(process, fd, 1n, 0)).toBe(1);
    expect(readText(process, fd, 7)).toBe('Dma-buf');
    expect(() => sys.lseek(process, fd, 0n, 2)).toThrow(errno('EINVAL'));
    expect(() => writeText(process, fd, 'x')).toThrow(errno('EBADF'));
  });

  test('parameters take whole numbers', () => {
    using rig = programRig();
    const { process } = rig;
    const path = '/sys/module/udmabuf/parameters/size_limit_mb';
    const fd = sys.open(process, path, RDWR);
    expect(writeText(process, fd, '5\n')).toBe(2);
    expect(readText(process, sys.open(process, path, RDONLY), 9)).toBe('5\n');
    for (const text of ['five', '', '1.5', '4294967296']) {
      expect(() => writeText(process, fd, text)).toThrow(errno('EINVAL'));
    }
    writeText(process, fd, '64');
  });
});

describe('descriptors', () => {
  test('a file in flight survives its descriptor, and is dropped where it cannot arrive', () => {
    using rig = programRig();
    const { process } = rig;
    const fd = sys.memfdCreate(process, 'm', SEALING);
    const message = sys.FileInFlight.send(process, fd);
    sys.close(process, fd);
    expect(message.receive(process)).toBe(0);
    expect(sys.fcntl(process, 0, sys.Fcntl.GETFD)).toBe(1);
    const second = sys.FileInFlight.send(process, 0);
    sys.setrlimit(process, 'NOFILE', 1n);
    expect(() => second.receive(process)).toThrow(errno('EMFILE'));
    expect(() => sys.FileInFlight.send(process, 9)).toThrow(errno('EBADF'));
  });

  test('fcntl: duplicates from a number on, flags, and what it does not know', () => {
    using rig = programRig();
    const { process } = rig;
    const fd = sys.open(process, '/dev/null', RDWR);
    expect(sys.fcntl(process, fd, sys.Fcntl.DUPFD, 7n)).toBe(7);
    expect(sys.fcntl(process, fd, sys.Fcntl.DUPFD_CLOEXEC, 7n)).toBe(8);
    expect(sys.sameFile(process, fd, 8)).toBe(true);
    expect(() => sys.fcntl(process, fd, sys.Fcntl.DUPFD, 1024n)).toThrow(errno('EINVAL'));
    sys.fcntl(process, fd, sys.Fcntl.SETFL, 0o6000n | 1n);
    expect(sys.fcntl(process, 8, sys.Fcntl.GETFL) & 0o7777).toBe(RDWR | 0o6000);
    expect(() => sys.fcntl(process, fd, 4711)).toThrow(errno('EINVAL'));
    expect(() => sys.fcntl(process, fd, sys.Fcntl.GET_SEALS)).toThrow(errno('EINVAL'));
  });
});

test('a memfd is read, written, moved in and resized like an array of bytes', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('write' as const), text: fc.string({ minLength: 1, maxLength: 9 }) }),
    fc.record({ kind: fc.constant('read' as const), count: fc.nat(12) }),
    fc.record({ kind: fc.constant('seek' as const), to: fc.nat(40) }),
    fc.record({ kind: fc.constant('size' as const), to: fc.nat(40) }),
  );
  using rig = programRig();
  const { process } = rig;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const fd = sys.memfdCreate(process, 'm', SEALING);
      let [bytes, pos] = ['', 0];
      for (const one of steps) {
        if (one.kind === 'write') {
          const text = Buffer.from(one.text).toString('latin1');
          expect(writeText(process, fd, text)).toBe(text.length);
          bytes = bytes.padEnd(pos, '\0').slice(0, pos) + text + bytes.slice(pos + text.length);
          pos += text.length;
        } else if (one.kind === 'read') {
          const expected = bytes.slice(pos, pos + one.count);
          expect(readText(process, fd, one.count)).toBe(expected);
          pos += expected.length;
        } else if (one.kind === 'seek') {
          expect(sys.lseek(process, fd, BigInt(one.to), 0)).toBe(one.to);
          pos = one.to;
        } else {
          sys.ftruncate(process, fd, BigInt(one.to));
          bytes = bytes.slice(0, one.to).padEnd(one.to, '\0');
        }
        expect(sys.fstat(process, fd).size).toBe(bytes.length);
      }
      sys.close(process, fd);
    }),
    { numRuns: propertyRuns(60) },
  );
});
