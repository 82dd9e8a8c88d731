import fc from 'fast-check';
import type { BarDescription, BarFlag, FunctionDescription, FunctionKind, MachineDescription } from '../../index.ts';
import { INTEL, testBridge, testFunction, testHostBridge, testMachine } from '../test-machine.ts';

const KINDS: readonly FunctionKind[] = ['endpoint', 'legacy-endpoint', 'pci-device', 'unknown-device'];
const CLASSES = [0x010802, 0x020000, 0x020700, 0x030000, 0x030200, 0x0c0330, 0x120000, 0xff0000, null] as const;
const BAR_MARKS: readonly (readonly BarFlag[])[] = [
  [],
  [],
  ['disabled'],
  ['virtual'],
  ['disabled', 'virtual'],
  ['unassigned'],
  ['ignored'],
  ['size-unknown'],
];
const BAR_SPACE = 2 ** 40;

const ids = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ vendor: fc.constantFrom(0x10de, 0x15b3, 0x8086, 0x1234), device: fc.nat(0xfffe) }),
  },
  { weight: 1, arbitrary: fc.constant({ vendor: null, device: null }) },
  { weight: 1, arbitrary: fc.constant({ vendor: 0x10de, device: null }) },
);

const acs = fc.oneof(
  fc.constant({ acs: null }),
  fc.record({ acs: fc.record({ cap: fc.nat(0x7f), ctrl: fc.nat(0x7f) }) }),
  fc.constant({ acs: 'unknown' as const }),
  fc.constant({ acs: 'unknown' as const, acsListed: true }),
  fc.record({ acs: fc.constant('unknown' as const), acsControlIfAny: fc.nat(0x7f) }),
);

const bars = fc
  .array(
    fc.record({
      kind: fc.constantFrom('mem32' as const, 'mem64' as const, 'io' as const),
      bits: fc.integer({ min: 12, max: 30 }),
      prefetchable: fc.boolean(),
      marks: fc.constantFrom(...BAR_MARKS),
    }),
    { maxLength: 3 },
  )
  .map((list) =>
    list.map(({ kind, bits, prefetchable, marks }, order): BarDescription => {
      const size = kind === 'io' ? 2 ** (bits % 6) * 4 : 2 ** bits;
      const isPlaced = !marks.includes('unassigned') && !marks.includes('ignored');
      const base =
        kind === 'io' ? 0x1000 * (order + 1) : kind === 'mem64' ? BAR_SPACE * (order + 1) : 2 ** 30 * (order + 1);
      return {
        index: order * 2,
        start: isPlaced ? base : 0,
        size: marks.includes('size-unknown') ? 0 : size,
        kind,
        prefetchable: kind !== 'io' && prefetchable,
        ...(marks.length > 0 ? { flags: marks } : {}),
      };
    }),
  );

const facts = fc.record(
  {
    multifunction: fc.boolean(),
    rom: fc.constantFrom({ start: 0xc000_0000, size: 0x8_0000 }, { start: 0, size: 0x800 }),
    ats: fc.boolean(),
    command: fc.nat(0x7),
    numaNode: fc.nat(7),
    name: fc.constant('label'),
    msi: fc.constant({ vectors: 4, wide: true, maskable: false }),
    pri: fc.nat(1024),
    pasid: fc.nat(20),
  },
  { requiredKeys: [] },
);

const endpoint = fc
  .record({
    ids,
    acs,
    bars,
    facts,
    kind: fc.constantFrom(...KINDS),
    class: fc.constantFrom(...CLASSES),
    bits: fc.nat(3),
  })
  .map((parts): FunctionDescription =>
    testFunction('0000:01:00.0', parts.kind, {
      ...parts.facts,
      ...parts.ids,
      ...parts.acs,
      class: parts.class,
      bars: parts.bars,
      flr: (parts.bits & 1) !== 0,
      pm: (parts.bits & 2) !== 0,
    }),
  );

const windows = fc.subarray([
  { kind: 'io' as const, start: 0x1000, end: 0x3fff },
  { kind: 'mem' as const, start: 0x4000_0000, end: 0xffef_ffff },
  { kind: 'prefetch' as const, start: BAR_SPACE, end: BAR_SPACE * 4 - 1 },
]);

/** A bridge, and below it a function with any facts that a description can hold; some have a virtual function. */
export const anyMachine: fc.Arbitrary<MachineDescription> = fc
  .record({
    endpoint,
    acs,
    windows,
    bridge: fc.constantFrom<FunctionKind>('root-port', 'pci-bridge', 'unknown-bridge'),
    withVirtual: fc.boolean(),
    configured: fc.boolean(),
  })
  .map((parts) => {
    const bridge = testBridge('0000:00:01.0', parts.bridge, [1, 1], {
      ...parts.acs,
      windows: parts.windows,
      vendor: 0x8086,
    });
    const unused = testFunction('0000:00:02.0', parts.bridge, { class: 0x060400, vendor: 0x8086 });
    const isExpress = parts.endpoint.kind === 'endpoint' || parts.endpoint.kind === 'legacy-endpoint';
    const sriov = { totalVfs: 4, numVfs: 1, vfOffset: 1, vfStride: 1, vfDevice: 0x101e };
    const virtual = testFunction('0000:01:00.1', 'vf', {
      physfn: '0000:01:00.0',
      vendor: 0x15b3,
      device: 0x101e,
      class: 0x020700,
    });
    const hasVirtual = parts.withVirtual && isExpress;
    return testMachine(
      [
        bridge,
        ...(parts.configured ? [] : [unused]),
        hasVirtual ? { ...parts.endpoint, sriov } : parts.endpoint,
        ...(hasVirtual ? [virtual] : []),
      ],
      { hostBridges: [testHostBridge(0, { busEnd: 1 })], cpu: INTEL },
    );
  });
