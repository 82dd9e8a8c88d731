import { describe, expect, test } from 'vitest';
import { builtinMachine, builtinMachines, parseMachineDescription, Topology, TopologyError } from '../index.ts';

describe('built-in machines', () => {
  test('have the names under which they are asked for', () => {
    const names = builtinMachines().map((machine) => machine.name);
    expect(names).toEqual(['genoa-4gpu', 'wrx80-2gpu', 'aurora-8ve', 'microtca-2switch']);
    for (const name of names) expect(builtinMachine(name).name).toBe(name);
  });

  test('an unknown name is refused with the names that exist', () => {
    expect(() => builtinMachine('genoa')).toThrow(TopologyError);
    expect(() => builtinMachine('genoa')).toThrow(
      /no built-in machine "genoa"; there are genoa-4gpu, wrx80-2gpu, aurora-8ve, microtca-2switch/u,
    );
  });

  test.each(builtinMachines().map((machine) => [machine.name, machine] as const))(
    '%s is sound: checked, all ACS known, every memory BAR inside the windows of the bridges above',
    (_name, machine) => {
      expect(parseMachineDescription(machine)).toEqual(machine);
      const topology = new Topology(machine);
      for (const fn of topology.functions) expect(fn.acs).not.toBe('unknown');
      for (const { fn, bar } of topology.memoryBars) {
        for (const bridge of topology.pathToRoot(fn).slice(1)) {
          const covered = bridge.windows.some(
            (window) => window.kind !== 'io' && bar.start >= window.start && bar.start + bar.size - 1 <= window.end,
          );
          expect(covered, `${fn.bdf} BAR ${bar.index} in a window of ${bridge.bdf}`).toBe(true);
        }
      }
    },
  );

  test('genoa-4gpu has four GPUs with 64 GiB BARs and four RDMA ports on two sockets', () => {
    const topology = new Topology(builtinMachine('genoa-4gpu'));
    const named = (prefix: string): readonly string[] =>
      topology.functions.filter((fn) => fn.label.startsWith(prefix)).map((fn) => fn.bdf);
    expect(named('gpu')).toEqual(['0000:01:00.0', '0000:41:00.0', '0000:c1:00.0', '0000:e1:00.0']);
    expect(named('nic')).toEqual(['0000:21:00.0', '0000:21:00.1', '0000:81:00.0', '0000:81:00.1']);
    for (const bdf of named('gpu')) expect(topology.function(bdf).bar(1)?.size).toBe(64 * 2 ** 30);
    expect(topology.hostBridges).toHaveLength(8);
  });

  test('genoa-4gpu has as many functions with ACS as its source listed control words, all off', () => {
    const topology = new Topology(builtinMachine('genoa-4gpu'));
    const controls = topology.functions.flatMap(({ acs }) => (acs === null || acs === 'unknown' ? [] : [acs.ctrl]));
    expect(controls).toEqual(Array.from({ length: 46 }, () => 0));
  });

  test('aurora-8ve has accelerators and an RDMA adapter below each of two switches', () => {
    const topology = new Topology(builtinMachine('aurora-8ve'));
    const switches = topology.functions.filter((fn) => fn.kind === 'upstream-port');
    const below = switches.map((up) =>
      topology.functions.filter((fn) => !fn.isBridge && topology.pathToRoot(fn).includes(up)).map((fn) => fn.label),
    );
    expect(below).toEqual([
      ['nic0', 've0', 've1', 've2', 've3'],
      ['ve4', 'nic1', 've5', 've6', 've7'],
    ]);
  });
});
