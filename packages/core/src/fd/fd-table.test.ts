import { FdTable, File, type FileOps, MAX_FD_LIMIT, registerFileOps } from '@dmabuf-emu/core';
import { type Machine, UsageError } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const workerUrl = new URL(import.meta.resolve('#dist/fd/fd-table.test-worker.js'));

/** A kind of file that writes its releases down. */
function plainFiles(
  machine: Machine,
  more: Partial<FileOps> = {},
): { released: number[]; open: (priv?: number) => File } {
  const released: number[] = [];
  registerFileOps(machine, { name: 'plain', release: (file) => void released.push(file.priv), ...more });
  return { released, open: (priv = 1) => File.create(machine, { type: 'plain', priv, flags: 0 }) };
}

describe('FdTable', () => {
  it('gives out the lowest free descriptor', () => {
    using machine = testMachine();
    const { open } = plainFiles(machine);
    const table = FdTable.current(machine);
    expect([1, 2, 3, 4].map((n) => table.install(open(n)))).toEqual([0, 1, 2, 3]);
    table.close(1);
    table.close(2);
    expect(table.install(open())).toBe(1);
    expect(table.entries().map((e) => e.fd)).toEqual([0, 1, 3]);
    expect(table.size).toBe(3);
  });

  it('grows up to its limit and then reports EMFILE, keeping the reference of the caller', () => {
    using machine = testMachine();
    const { open, released } = plainFiles(machine);
    const table = FdTable.create(machine, { limit: 100, name: 'small' }).join();
    const file = open();
    for (let n = 0; n < 100; n++) expect(table.install(file.get())).toBe(n);
    expect(() => table.install(file)).toThrow(/EMFILE.*'small' has reached its limit of 100/);
    expect(() => table.dup(0)).toThrow(kernelError('EMFILE'));
    expect(file.count).toBe(101);
    table.close(99);
    expect(table.install(file)).toBe(99);
    FdTable.exit(machine);
    expect(released).toEqual([1]);
  });

  it('has a default limit of 1024', () => {
    using machine = testMachine();
    expect(FdTable.current(machine).limit).toBe(1024);
    expect(() => FdTable.create(machine, { limit: 0 })).toThrow(/got limit 0/);
    expect(() => FdTable.create(machine, { limit: MAX_FD_LIMIT + 1 })).toThrow(UsageError);
  });

  it('reports descriptors that are not open as EBADF', () => {
    using machine = testMachine();
    const { open } = plainFiles(machine);
    const table = FdTable.current(machine);
    const fd = table.install(open());
    for (const bad of [-1, fd + 1, 31, 32, 5000, 0.5]) {
      expect(() => table.get(bad)).toThrow(kernelError('EBADF'));
      expect(() => table.close(bad)).toThrow(kernelError('EBADF'));
      expect(() => table.dup(bad)).toThrow(kernelError('EBADF'));
    }
    table.close(fd);
    expect(() => table.close(fd)).toThrow(/EBADF, close: process 'test' has no open descriptor 0/);
  });

  it('get takes a reference, dup shares the file, close drops one', () => {
    using machine = testMachine();
    const { open, released } = plainFiles(machine);
    const table = FdTable.current(machine);
    const fd = table.install(open(9));
    const file = table.get(fd);
    expect(file.count).toBe(2);
    const copy = table.dup(fd, 10, { cloexec: true });
    expect(copy).toBe(10);
    expect(file.count).toBe(3);
    expect(table.entries()).toMatchObject([
      { fd, cloexec: false },
      { fd: 10, cloexec: true },
    ]);
    table.close(fd);
    table.close(copy);
    expect(released).toEqual([]);
    file.put();
    expect(released).toEqual([9]);
  });

  it('dup from a least descriptor beyond the table grows it', () => {
    using machine = testMachine();
    const { open } = plainFiles(machine);
    const table = FdTable.current(machine);
    const fd = table.install(open());
    expect(table.dup(fd, 200)).toBe(200);
    expect(() => table.dup(fd, 1024)).toThrow(kernelError('EMFILE'));
    expect(table.get(200).count).toBe(3);
    table.get(200).put();
    table.get(fd).put();
    File.of(machine, table.entries()[0]!.file.ref).put();
  });

  it('reserves a descriptor that nobody can use before it is filled', () => {
    using machine = testMachine();
    const { open } = plainFiles(machine);
    const table = FdTable.current(machine);
    const fd = table.reserve({ cloexec: true });
    expect(() => table.get(fd)).toThrow(kernelError('EBADF'));
    expect(() => table.close(fd)).toThrow(kernelError('EBADF'));
    expect(table.install(open())).toBe(fd + 1);
    table.fill(fd, open());
    expect(table.entries().map((e) => e.cloexec)).toEqual([true, false]);
    expect(() => table.fill(fd, File.of(machine, 0))).toThrow(/not reserved/);
    const unused = table.reserve();
    table.unreserve(unused);
    expect(() => table.unreserve(unused)).toThrow(/not reserved/);
    expect(table.reserve()).toBe(unused);
  });

  it('leaves nothing behind when an allocation fails', () => {
    using machine = testMachine();
    const { open } = plainFiles(machine);
    const file = open();
    for (let n = 1; ; n++) {
      machine.faults.failNth(n);
      try {
        const table = FdTable.create(machine).join();
        for (let i = 0; i < 40; i++) table.install(file.get());
        machine.faults.off();
        break;
      } catch (error) {
        machine.faults.off();
        expect(error).toEqual(kernelError('ENOMEM'));
        while (file.count > 1) {
          const [entry] = FdTable.current(machine).entries();
          if (entry === undefined) file.put();
          else FdTable.current(machine).close(entry.fd);
        }
        FdTable.exit(machine);
        expect(machine.verify().counts).toMatchObject({ process: 0 });
      }
    }
    FdTable.exit(machine);
    file.put();
  });

  it('closes everything in order when the last task leaves the process', async () => {
    using machine = testMachine();
    const { open, released } = plainFiles(machine);
    const table = FdTable.current(machine);
    for (const n of [3, 1, 2]) table.install(open(n));
    const seen = await startTestWorker<number[]>(workerUrl, machine, { job: 'share', table: table.ref }).result;
    await expect.poll(() => machine.tasks().length, { interval: 2 }).toBe(1);
    expect(seen).toEqual([3, 1, 2]);
    expect(released).toEqual([]);
    FdTable.exit(machine);
    expect(released).toEqual([3, 1, 2]);
    expect(FdTable.current(machine).ref).not.toBe(table.ref);
  });

  it('goes with the task that leaves the machine', async () => {
    using machine = testMachine();
    const { released } = plainFiles(machine);
    const own = await startTestWorker<number>(workerUrl, machine, { job: 'open', count: 5 }).result;
    expect(own).toBe(5);
    await expect.poll(() => File.openCount(machine)).toBe(0);
    expect(released).toEqual([]);
  });

  it('is safe for many threads at once', async () => {
    using machine = testMachine();
    plainFiles(machine);
    const table = FdTable.create(machine, { limit: 4096 }).join();
    const workers = [0, 1].map(() =>
      startTestWorker<number>(workerUrl, machine, { job: 'churn', table: table.ref, count: 2000 }),
    );
    await Promise.all(workers.map((w) => w.result));
    expect(table.entries()).toEqual([]);
    expect(table.size).toBe(0);
    expect(File.openCount(machine)).toBe(0);
  });

  it('lets one of two threads that close the same descriptor win; the other gets EBADF', async () => {
    using machine = testMachine();
    plainFiles(machine);
    const table = FdTable.create(machine, { limit: 8 }).join();
    const rounds = 2000;
    const workers = [0, 1].map(() =>
      startTestWorker<number>(workerUrl, machine, { job: 'close-race', table: table.ref, count: rounds }),
    );
    const [a, b] = await Promise.all(workers.map((w) => w.result));
    expect(a! + b!).toBeGreaterThanOrEqual(rounds);
    for (const { fd } of table.entries()) table.close(fd);
    expect(File.openCount(machine)).toBe(0);
  });

  it('refuses to drop a reference in a thread that could not release the file, and changes nothing', () => {
    using machine = testMachine();
    let able = false;
    const checkRelease = (): void => {
      if (!able) throw new UsageError('driver missing');
    };
    const { open, released } = plainFiles(machine, { checkRelease });
    const table = FdTable.current(machine);
    const fd = table.install(open());
    expect(() => table.close(fd)).toThrow('driver missing');
    expect(() => table.get(fd)).toThrow('driver missing');
    expect(() => table.dup(fd)).toThrow('driver missing');
    expect(table.entries()[0]!.file.count).toBe(1);
    expect(() => FdTable.exit(machine)).toThrow('driver missing');
    expect(FdTable.current(machine).entries()).toHaveLength(1);
    able = true;
    table.close(fd);
    expect(released).toEqual([1]);
  });
});

describe('what programs change of their files', () => {
  it('a limit that is lowered stops new descriptors, not open ones', () => {
    using machine = testMachine();
    const { open } = plainFiles(machine);
    const table = FdTable.create(machine).join();
    const fds = [0, 1, 2, 3].map(() => table.install(open()));
    table.limit = 3;
    expect(() => table.dup(0)).toThrow(/EMFILE.*limit of 3/);
    expect(table.fdinfo(3)).toContain('pos:\t0');
    table.close(0);
    table.limit = 4;
    expect(table.dup(3)).toBe(0);
    expect(fds).toEqual([0, 1, 2, 3]);
    expect(() => (table.limit = MAX_FD_LIMIT + 1)).toThrow(UsageError);
    FdTable.exit(machine);
  });

  it('flags, position and close-on-exec', () => {
    using machine = testMachine();
    const { open } = plainFiles(machine);
    const table = FdTable.create(machine).join();
    const fd = table.install(open(), { cloexec: true });
    const file = table.get(fd);
    file.pos = 2 ** 40;
    file.flags |= 0o4000;
    file.put();
    expect(table.cloexec(fd)).toBe(true);
    table.setCloexec(fd, false);
    expect(table.fdinfo(fd).slice(0, 2)).toEqual([`pos:\t${2 ** 40}`, 'flags:\t04000']);
    expect(() => table.cloexec(7)).toThrow('EBADF');
    FdTable.exit(machine);
  });
});

describe('File', () => {
  it('is released after the last put, once no lock is held', () => {
    using machine = testMachine();
    const { open, released } = plainFiles(machine);
    const file = open(4);
    file.get();
    file.put();
    expect(released).toEqual([]);
    file.put();
    expect(released).toEqual([4]);
    expect(file.tryGet()).toBe(false);
  });

  it('shows its access mode as the kernel does', () => {
    using machine = testMachine();
    plainFiles(machine);
    const modes = [0, 1, 2].map((flags) => {
      const file = File.create(machine, { type: 'plain', priv: 1, flags });
      const { mode } = file;
      file.put();
      return mode.toString(16);
    });
    expect(modes).toEqual(['2080005', '2080006', '2080007']);
  });

  it('cannot seek unless its kind can', () => {
    using machine = testMachine();
    const { open } = plainFiles(machine);
    const file = open();
    expect(() => file.llseek(0, 0)).toThrow(kernelError('EINVAL'));
    file.put();
  });

  it('counts towards the limit of the machine', () => {
    using machine = testMachine();
    const { open } = plainFiles(machine);
    File.setLimit(machine, 2);
    const files = [open(), open()];
    expect(open).toThrow(kernelError('ENFILE'));
    files[0]!.put();
    open().put();
    files[1]!.put();
  });
});
