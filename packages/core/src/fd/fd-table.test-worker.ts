import { FdTable, File, registerFileOps } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

interface Args {
  readonly job: 'share' | 'open' | 'churn';
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
