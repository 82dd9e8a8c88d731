import type { Machine } from '@dmabuf-emu/shm';
import { builtinFenceDrivers } from '../ops.ts';
import { POLL_CALLBACK } from '../poll-callback.ts';
import { installContainers, reapContainers, verifyContainers } from './containers.ts';
import { onLeave, onReap } from './death.ts';
import { FenceTable } from './table.ts';
import { verifyFences } from './verify.ts';

const KEY = Symbol('dmabuf-emu.fences');

/** The table looked up last: a thread works with one machine, as a rule. */
const last: { table: FenceTable | undefined } = { table: undefined };

/** This thread's table of the machine's fences; the first call makes the thread take part in clean-up and checks. */
export function tableOf(machine: Machine): FenceTable {
  const { table } = last;
  return table?.machine === machine ? table : lookUp(machine);
}

function lookUp(machine: Machine): FenceTable {
  last.table = machine.local(KEY, () => {
    const t = new FenceTable(machine);
    installContainers(t);
    for (const driver of builtinFenceDrivers) t.driverId(driver);
    machine.drivers.register('fence-cb', POLL_CALLBACK.name, POLL_CALLBACK);
    machine.onReap('fence', (task) => {
      onReap(t, task);
      reapContainers(t, task);
    });
    machine.onVerify('fence', (report) => {
      verifyFences(t, report);
      verifyContainers(t, report);
    });
    machine.onLeave('fence', () => {
      onLeave(t);
      if (last.table === t) last.table = undefined;
    });
    return t;
  });
  return last.table;
}
