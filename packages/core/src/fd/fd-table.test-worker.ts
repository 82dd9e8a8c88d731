import { FdTable, File, registerFileOps } from '@dmabuf-emu/core';
import { isKernelError, type Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

interface Args {
  readonly job: 'share' | 'open' | 'churn' | 'close-race';
  readonly table: number;
  readonly count: number;
}

await runTestWorker<Args, unknown>((machine, args) => {
  registerFileOps(machine, { name: 'plain', release: () => {} });
  switch (args.job) {
    case 'share': {
      const table = FdTable.of(machine, args.table).join();
      return table.entries().map((entry) => entry.file.priv);
    }
    case 'open': {
      for (let n = 0; n < args.count; n++) FdTable.current(machine).install(open(machine));
      return FdTable.current(machine).size;
    }
    case 'churn':
      return churn(machine, args);
    case 'close-race':
      return closeRace(machine, args);
  }
});

function open(machine: Machine): File {
  return File.create(machine, { type: 'plain', priv: 1, flags: 0 });
}

function churn(machine: Machine, { table: ref, count }: Args): number {
  const table = FdTable.of(machine, ref).join();
  const mine: number[] = [];
  for (let n = 0; n < count; n++) {
    const fd = table.install(open(machine));
    mine.push(fd, table.dup(fd));
    table.get(fd).put();
    if (mine.length > 50) for (const old of mine.splice(0, 30)) table.close(old);
  }
  for (const fd of mine) table.close(fd);
  return count;
}

/** Opens and closes descriptor 0 as often as it can; counts the closes that hit a file, its own or the other's. */
function closeRace(machine: Machine, { table: ref, count }: Args): number {
  const table = FdTable.of(machine, ref).join();
  let closed = 0;
  for (let n = 0; n < count; n++) {
    table.install(open(machine));
    for (const fd of [0, 1]) {
      try {
        table.get(fd).put();
        table.close(fd);
        closed++;
      } catch (error) {
        if (!isKernelError(error, 'EBADF')) throw error;
      }
    }
  }
  return closed;
}
