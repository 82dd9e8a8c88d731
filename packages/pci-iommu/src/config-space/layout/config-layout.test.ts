import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  builtinMachine,
  builtinMachines,
  decodeConfig,
  describeConfig,
  describeLspci,
  type FunctionDescription,
  type MachineDescription,
  parseConfigRuns,
  parseLspci,
  type RawBar,
  Topology,
  type TopologyFunction,
} from '../../topology/index.ts';
import { testFunction } from '../../topology/test-machine.ts';
import { randomMachine } from '../../topology/test-random-machine.ts';
import { readRealDump, realDumpNames, realDumps, realDumpsState } from '../../topology/test-real-dumps.ts';
import { SAVED_WORDS } from '../function-state.ts';
import { configBytesOf } from '../index.ts';
import { layOutConfig } from './config-layout.ts';

/** What the bytes tell of a function. */
function toldBy(bytes: Uint8Array, fn: TopologyFunction): Record<string, unknown> {
  const facts = decodeConfig(bytes);
  const bar = ({ index, kind, prefetchable, address }: RawBar): unknown[] => [index, kind, prefetchable, address];
  return {
    ids: [facts.vendor, facts.device],
    ...(fn.classCode === null ? {} : { class: facts.class }),
    ...(fn.description.command === undefined ? {} : { command: facts.command }),
    headerType: facts.headerType,
    multifunction: facts.multifunction,
    bars: facts.barRegisters?.map(bar),
    pcieType: facts.pcieType,
    acs: facts.acs,
    flr: facts.flr,
    pm: facts.pm,
    ats: facts.ats,
    sriov: facts.sriov,
    buses: facts.bus === null ? null : [facts.bus.secondary, facts.bus.subordinate],
    windows: new Set(facts.windows),
  };
}

/** The same by the description. */
function toldByDescription(fn: TopologyFunction): Record<string, unknown> {
  const { description, isVirtualFunction: isVirtual, pcieType } = fn;
  const { bars: _, ...sriov } = description.sriov ?? {};
  const isExpress = pcieType !== null;
  return {
    ids: isVirtual ? [null, null] : [description.vendor, description.device],
    ...(description.class === null ? {} : { class: description.class }),
    ...(description.command === undefined ? {} : { command: description.command }),
    headerType: fn.isBridge ? 1 : 0,
    multifunction: fn.multifunction,
    bars: isVirtual
      ? []
      : description.bars.filter(({ start, kind }) => start > 0 || kind !== 'mem32').map(shownBar(fn)),
    pcieType: pcieType === 'unknown' ? 0 : pcieType,
    acs: !isExpress || fn.acs === 'unknown' ? null : fn.acs,
    flr: description.flr,
    pm: description.pm,
    ats: isExpress && description.ats === true,
    sriov:
      isExpress && description.sriov !== undefined ? { ...sriov, vfDevice: description.sriov.vfDevice ?? 0 } : null,
    buses: fn.isBridge ? [fn.secondary ?? 0, fn.subordinate ?? 0] : null,
    windows: new Set(
      fn.windows.map((window) => {
        const offset = window.kind === 'io' ? 0 : fn.hostBridge.busOffsetAt(window.start);
        return { ...window, start: window.start + offset, end: window.end + offset };
      }),
    ),
  };
}

function shownBar(fn: TopologyFunction) {
  return (bar: TopologyFunction['bars'][number]): unknown[] => {
    const unassigned = bar.flags?.includes('unassigned') === true;
    const offset = bar.kind === 'io' || unassigned ? 0 : fn.hostBridge.busOffsetAt(bar.start);
    return [bar.index, bar.kind, bar.prefetchable, unassigned ? 0 : bar.start + offset];
  };
}

describe('the bytes of a function tell what its description tells', () => {
  test.each(builtinMachines())('$name', (machine) => {
    for (const fn of new Topology(machine).functions)
      expect(toldBy(configBytesOf(fn), fn)).toEqual(toldByDescription(fn));
  });

  test('random machines', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        for (const fn of new Topology(machine).functions)
          expect(toldBy(configBytesOf(fn), fn)).toEqual(toldByDescription(fn));
      }),
      { numRuns: propertyRuns(30) },
    );
  });

  const facts = fc.record(
    {
      acs: fc.record({ cap: fc.nat(0x7f), ctrl: fc.nat(0x7f) }),
      ats: fc.boolean(),
      flr: fc.boolean(),
      pm: fc.boolean(),
      pri: fc.nat(1024),
      pasid: fc.nat(20),
      msi: fc.record({ vectors: fc.constantFrom(1, 2, 4, 8, 16, 32), wide: fc.boolean(), maskable: fc.boolean() }),
      msix: fc.constant({ vectors: 33, bar: 0, offset: 0x2000, pbaBar: 0, pbaOffset: 0x3000 }),
      sriov: fc.constant({ totalVfs: 8, numVfs: 0, vfOffset: 8, vfStride: 1, vfDevice: 0x1234 }),
      command: fc.nat(0x7),
    },
    { requiredKeys: [] },
  );

  test('any set of capabilities', () => {
    fc.assert(
      fc.property(facts, fc.constantFrom('endpoint' as const, 'pci-device' as const), (more, kind) => {
        const fn = functionWith({ ...more, kind });
        expect(toldBy(configBytesOf(fn), fn)).toEqual(toldByDescription(fn));
        const { capabilities, msix } = decodeConfig(configBytesOf(fn));
        const ids = capabilities.map(({ id, extended }) => (extended ? 0x1000 : 0) + id!);
        expect(ids.includes(0x05)).toBe(more.msi !== undefined);
        expect(msix).toEqual(more.msix === undefined ? null : { vectors: 33, tableBar: 0, tableOffset: 0x2000 });
        expect(ids.includes(0x1013)).toBe(kind === 'endpoint' && more.pri !== undefined);
        expect(ids.includes(0x101b)).toBe(kind === 'endpoint' && more.pasid !== undefined);
      }),
      { numRuns: propertyRuns(200) },
    );
  });
});

test('of capabilities that a dump has again and again the first counts: what a reset saves has room', () => {
  const dump = new Uint8Array(4096);
  const view = new DataView(dump.buffer);
  dump[0x06] = 0x10;
  dump[0x34] = 0x40;
  view.setUint32(0x40, 0x0002_0010, true);
  for (let at = 0x100; at < 0xfc0; at += 0x40) {
    view.setUint32(at, (0x0001_0010 | ((at + 0x40 < 0xfc0 ? at + 0x40 : 0) << 20)) >>> 0, true);
    view.setUint32(at + 0x1c, 0x553, true);
  }
  const { capabilities, writable } = layOutConfig(functionWith({ config: describeConfig(dump) }));
  const places = capabilities.filter(({ id, extended }) => extended && id === 0x10).map(({ at }) => at);
  expect(places).toHaveLength(59);
  expect(writable.has(places[0]! + 8)).toBe(true);
  expect(writable.has(places[1]! + 8)).toBe(false);
  expect(writable.size).toBeLessThan(SAVED_WORDS);
});

function functionWith(more: Partial<FunctionDescription>): TopologyFunction {
  const machine: MachineDescription = builtinMachine('genoa-4gpu');
  const fn = testFunction('0000:00:1e.0', more.kind ?? 'endpoint', more);
  return new Topology({ ...machine, functions: [...machine.functions, fn] }).function('00:1e.0');
}

describe('runs of bytes', () => {
  test('are read back', () => {
    fc.assert(
      fc.property(fc.constantFrom(64, 256, 4096), fc.array(fc.tuple(fc.nat(4095), fc.nat(255))), (size, bytes) => {
        const dump = new Uint8Array(size);
        for (const [at, byte] of bytes) dump[at % size] = byte;
        const { known, runs } = describeConfig(dump);
        const back = new Uint8Array(size);
        for (const run of parseConfigRuns(runs)!) back.set(run.bytes, run.at);
        expect([known, back]).toEqual([size, dump]);
      }),
      { numRuns: propertyRuns(100) },
    );
  });

  test.each(['', '40', '40:', '40:0', '40:00 3f:00', '40:0011 41:22', 'fff:0000', '40:GG', '1000:00'])('%j', (text) => {
    expect(parseConfigRuns(text)).toEqual(text === '' ? [] : null);
  });
});

// Real listings with hex: what the description carries comes out again, byte by byte.
test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

describe.skipIf(realDumps === null)('bytes of real functions', () => {
  test.each(realDumpNames(/lspci.*xxx.*\.txt$/u))('%s', (name) => {
    const listed = parseLspci(readRealDump(name));
    const { description } = describeLspci(readRealDump(name), { name: 'dump' });
    const dumps = new Map(listed.functions.map((fn) => [fn.bdf, fn.config]));
    let compared = 0;
    for (const fn of new Topology(description).functions) {
      const dump = dumps.get(fn.bdf) ?? null;
      if (dump === null) continue;
      const bytes = configBytesOf(fn);
      const differing: string[] = [];
      dump.subarray(0, bytes.length).forEach((byte, at) => {
        if (bytes[at] !== byte) differing.push(`${fn.bdf} ${at.toString(16)}: ${byte} became ${bytes[at]}`);
      });
      expect(differing).toEqual([]);
      compared++;
    }
    expect(compared).toBeGreaterThan(0);
  });
});
