import { describe, expect, test } from 'vitest';
import {
  type BarDescription,
  builtinMachines,
  completeMachine,
  type FunctionDescription,
  type MachineDescription,
  Topology,
} from '../index.ts';
import { expectReachable } from './test-reachable.ts';
import { testBar, testBridge, testFunction, testHostBridge, testMachine } from '../test-machine.ts';

const GPU = { class: 0x030200, acs: 'unknown' } as const;
const NIC = { class: 0x020700, acs: 'unknown' } as const;

/** One root port, a switch with two ports, a GPU and a NIC below it; `more` goes into the upstream port. */
function switchMachine(more: Partial<FunctionDescription> = {}): MachineDescription {
  return testMachine([
    testBridge('0000:00:01.0', 'root-port', [1, 4], more),
    testBridge('0000:01:00.0', 'upstream-port', [2, 4], { acs: 'unknown' }),
    testBridge('0000:02:00.0', 'downstream-port', [3, 3], { acs: 'unknown' }),
    testBridge('0000:02:01.0', 'downstream-port', [4, 4], { acs: 'unknown' }),
    testFunction('0000:03:00.0', 'endpoint', GPU),
    testFunction('0000:04:00.0', 'endpoint', NIC),
  ]);
}

const ALL_BARS = [{ bdf: null, what: 'bars' }];

describe('a machine that is made complete', () => {
  test.each(builtinMachines().map((machine) => [machine.name, machine] as const))(
    '%s, of which all is known, stays as it is',
    (_name, machine) => {
      expect(completeMachine(machine, [])).toEqual({ description: machine, assumptions: [] });
    },
  );

  test('BARs are made up by class, inside new windows of the bridges above and of the host bridge', () => {
    const { description, assumptions } = completeMachine(switchMachine(), ALL_BARS);
    const topology = new Topology(description);
    expectReachable(topology);
    const shapes = topology.memoryBars.map(({ fn, bar }) => [fn.bdf, bar.index, bar.kind, bar.prefetchable, bar.size]);
    expect(shapes).toEqual([
      ['0000:03:00.0', 2, 'mem32', false, 0x100_0000],
      ['0000:03:00.0', 0, 'mem64', true, 0x1000_0000],
      ['0000:04:00.0', 0, 'mem64', true, 0x200_0000],
    ]);
    expect(description.hostBridges[0]?.windows).toHaveLength(2);
    expect(assumptions).toEqual([
      '0000:03:00.0: BAR 2 is taken to be mem32, 16 MiB at 0x80000000',
      '0000:03:00.0: BAR 0 is taken to be mem64, 256 MiB at 0x10000000000',
      '0000:04:00.0: BAR 0 is taken to be mem64, 32 MiB at 0x10010000000',
      'host bridge 0000:00: is taken to forward 0x80000000..0x80ffffff',
      'host bridge 0000:00: is taken to forward 0x10000000000..0x10011ffffff',
      '0000:01:00.0 and 4 more: ACS is not known and taken to be absent',
    ]);
    for (const fn of topology.functions) expect(fn.acs).toBeNull();
  });

  test('without a class, the names of the ids decide', () => {
    const ids: readonly (readonly [number, number])[] = [
      [0x10de, 0x2230],
      [0x15b3, 0x1021],
      [0x144d, 0xa80a],
      [0x10de, 0x1aef],
      [0x1022, 0x1480],
    ];
    const machine = testMachine(
      ids.map(([vendor, device], slot) =>
        testFunction(`0000:00:0${slot}.0`, 'unknown-device', { vendor, device, class: null }),
      ),
    );
    const { description } = completeMachine(machine, ALL_BARS);
    expect(description.functions.map((fn) => fn.bars.map((bar) => bar.size))).toEqual([
      [0x1000_0000, 0x100_0000],
      [0x200_0000],
      [0x4000],
      [0x1_0000],
      [],
    ]);
  });

  test('functions of which no BAR is missing get none', () => {
    const { description } = completeMachine(switchMachine(), [{ bdf: '0000:04:00.0', what: 'bars' }]);
    expect(description.functions.flatMap((fn) => fn.bars.map(() => fn.bdf))).toEqual(['0000:04:00.0']);
  });

  test('windows that are known are filled before new ones are made', () => {
    const windows = [
      { kind: 'mem' as const, start: 0xe000_0000, end: 0xe1ff_ffff },
      { kind: 'prefetch' as const, start: 0x2000_0000_0000, end: 0x2000_2fff_ffff },
    ];
    const machine = {
      ...switchMachine({ windows }),
      hostBridges: [testHostBridge(0, { windows: windows.map(({ start, end }) => ({ start, end, busOffset: 0 })) })],
    };
    const { description } = completeMachine(machine, ALL_BARS);
    const topology = new Topology(description);
    expectReachable(topology);
    expect(description.hostBridges).toEqual(machine.hostBridges);
    expect(topology.memoryBars.map(({ bar }) => bar.start)).toEqual([0xe000_0000, 0x2000_0000_0000, 0x2000_1000_0000]);
  });

  test('a BAR for which a known window has no room is left out and named', () => {
    const windows = [{ kind: 'prefetch' as const, start: 0x2000_0000_0000, end: 0x2000_000f_ffff }];
    const { description, assumptions } = completeMachine(switchMachine({ windows }), ALL_BARS);
    expect(description.functions[4]?.bars.map((bar) => bar.index)).toEqual([2]);
    expect(assumptions).toContain('0000:03:00.0: BAR 0 is left out: no 256 MiB are free in the windows above it');
  });

  test('new BARs and windows keep clear of those that are there', () => {
    const taken = testBar(0x100_0000_0000, 0x1000_0000);
    const machine = testMachine(
      [
        testFunction('0000:00:02.0', 'rciep', { bars: [taken] }),
        testFunction('0000:40:02.0', 'rciep', { ...GPU, class: 0x120000 }),
      ],
      {
        hostBridges: [
          testHostBridge(0, {
            busEnd: 0x3f,
            windows: [{ start: taken.start, end: taken.start + 0x1fff_ffff, busOffset: 0 }],
          }),
          testHostBridge(0x40),
        ],
      },
    );
    const { description } = completeMachine(machine, [{ bdf: '0000:40:02.0', what: 'bars' }]);
    expect(description.hostBridges[0]).toEqual(machine.hostBridges[0]);
    expect(description.functions[1]?.bars[0]).toEqual({ ...taken, start: 0x100_2000_0000 });
  });

  test('the processor of an unknown family is named', () => {
    const machine = testMachine([testFunction('0000:00:02.0', 'rciep')], { cpu: { vendor: 'AMD', family: null } });
    expect(completeMachine(machine, []).assumptions.join()).toMatch(/^cpu: the family is not known/u);
  });

  test('sizes that are not known are those of the class, as far as there is room', () => {
    const sizeless = (index: number, start: number, kind: BarDescription['kind'] = 'mem64'): BarDescription => ({
      index,
      start,
      size: 0,
      kind,
      prefetchable: kind === 'mem64',
      flags: ['size-unknown'],
    });
    const machine = testMachine([
      testFunction('0000:00:02.0', 'rciep', {
        class: 0x030000,
        bars: [sizeless(0, 0x8_0000_0000), sizeless(2, 0x8_4000_0000)],
      }),
      testFunction('0000:00:03.0', 'rciep', {
        class: 0x030000,
        bars: [sizeless(0, 0x8_4400_0000), sizeless(2, 0x8_5000_1000)],
      }),
      testFunction('0000:00:04.0', 'rciep', {
        class: 0x020000,
        bars: [sizeless(0, 0x2008, 'io'), sizeless(2, 0x8_5000_1008)],
      }),
    ]);
    const { description, assumptions } = completeMachine(machine, []);
    expect(description.functions.map((fn) => fn.bars.map((bar) => [bar.index, bar.size, bar.flags]))).toEqual([
      [
        [0, 0x1000_0000, undefined],
        [2, 0x400_0000, undefined],
      ],
      [[0, 0x400_0000, undefined]],
      [[0, 8, undefined]],
    ]);
    expect(assumptions).toEqual([
      '0000:00:02.0: BAR 0 at 0x800000000 is taken to have 256 MiB',
      '0000:00:02.0: BAR 2 at 0x840000000 is taken to have 64 MiB',
      '0000:00:03.0: BAR 0 at 0x844000000 is taken to have 64 MiB',
      '0000:00:03.0: BAR 2 is left out: there is no room at 0x850001000',
      '0000:00:04.0: BAR 0 at 0x2008 is taken to have 8 B',
      '0000:00:04.0: BAR 2 is left out: there is no room at 0x850001008',
    ]);
  });

  test('ACS that is listed without its registers is there, and off', () => {
    const machine = testMachine([testBridge('0000:00:01.0', 'root-port', [1, 1], { acs: 'unknown', acsListed: true })]);
    const { description, assumptions } = completeMachine(machine, []);
    expect(description.functions[0]).toMatchObject({ acs: { cap: 0x1f, ctrl: 0 } });
    expect(assumptions.join()).toMatch(/^0000:00:01.0: ACS registers are not known/u);
  });
});
