import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { builtinMachines, Topology } from '../topology/index.ts';
import { testBar, testFunction, testHostBridge, testMachine } from '../topology/test-machine.ts';
import { randomMachine } from '../topology/test-random-machine.ts';
import { layOutMemory } from './layout.ts';
import { MemoryMap } from './memory-map.ts';

const MIB = 2 ** 20;

function mapOf(topology: Topology, ramBytes: number): MemoryMap {
  return new MemoryMap(layOutMemory(topology, ramBytes));
}

describe('layout of physical memory', () => {
  test('RAM begins at 0, stops at the 32-bit MMIO hole and goes on at 4 GiB', () => {
    const topology = new Topology(
      testMachine([], {
        hostBridges: [
          testHostBridge(0, {
            windows: [
              { start: 0x8000_0000, end: 0xfebf_ffff, busOffset: 0 },
              { start: 0x38_0000_0000, end: 0x38_ffff_ffff, busOffset: 0 },
            ],
          }),
        ],
      }),
    );
    const { regions } = mapOf(topology, 3 * 1024 * MIB);
    expect(regions.map(({ kind, start, end }) => [kind, start, end])).toEqual([
      ['ram', 0, 0x8000_0000],
      ['ram', 0x1_0000_0000, 0x1_4000_0000],
    ]);
  });

  test('RAM goes on behind a hole below 1 MiB', () => {
    const window = { start: 0xa_0000, end: 0xb_ffff, busOffset: 0 };
    const topology = new Topology(testMachine([], { hostBridges: [testHostBridge(0, { windows: [window] })] }));
    expect(layOutMemory(topology, 2 * MIB).map(({ start, end }) => [start, end])).toEqual([
      [0, 0xa_0000],
      [0xc_0000, 2 * MIB + 0x2_0000],
    ]);
  });

  test('small BARs that share a page share a region and are told apart to the byte', () => {
    const bars = [
      testBar(0xfe00_0000, 0x100, { kind: 'mem32' }),
      testBar(0xfe00_0100, 0x80, { kind: 'mem32', index: 1 }),
    ];
    const topology = new Topology(testMachine([testFunction('0000:00:02.0', 'endpoint', { bars })]));
    const map = mapOf(topology, MIB);
    const region = map.regionAt(0xfe00_0000)!;
    expect(region.pages).toBe(1);
    expect(map.barAt(0xfe00_00ff)?.bar).toBe(0);
    expect(map.barAt(0xfe00_0100)?.bar).toBe(1);
    expect(map.barAt(0xfe00_0180)).toBeNull();
    expect(map.regionAt(0xfe00_1000)).toBeNull();
  });

  test.each(builtinMachines().map((machine) => [machine.name, machine] as const))(
    'every memory BAR of %s is found again',
    (_name, machine) => {
      const topology = new Topology(machine);
      const map = mapOf(topology, 64 * MIB);
      for (const { fn, bar } of topology.memoryBars) {
        for (const address of [bar.start, bar.start + bar.size - 1]) {
          expect(map.barAt(address)).toMatchObject({ fn, bar: bar.index });
          const frame = map.frameOf(address);
          expect(map.paddrOf(frame)).toBe(address - (address % 4096));
        }
      }
    },
  );

  test('frames and addresses are a bijection, and 2 MiB boundaries agree', () => {
    fc.assert(
      fc.property(randomMachine, fc.integer({ min: 1, max: 2 ** 28 }), (machine, ramBytes) => {
        const map = mapOf(new Topology(machine), ramBytes);
        let frame = 0;
        let bytes = 0;
        for (const region of map.regions) {
          expect(region.frame).toBeGreaterThanOrEqual(frame);
          expect(region.frame % 512).toBe((region.start / 4096) % 512);
          expect(map.frameOf(region.start)).toBe(region.frame);
          expect(map.frameOf(region.end - 1)).toBe(region.frame + region.pages - 1);
          expect(map.paddrOf(region.frame + region.pages - 1)).toBe(region.end - 4096);
          frame = region.frame + region.pages;
          if (region.kind === 'ram') bytes += region.end - region.start;
        }
        expect(bytes).toBe(Math.ceil(ramBytes / 4096) * 4096);
        expect(map.frames).toBe(frame);
      }),
      { numRuns: propertyRuns(50) },
    );
  });

  test('more than 4 TiB cannot be numbered', () => {
    const bars = [testBar(2 ** 43, 2 ** 43)];
    const topology = new Topology(testMachine([testFunction('0000:00:02.0', 'endpoint', { bars })]));
    expect(() => layOutMemory(topology, MIB)).toThrow(/ENOMEM.*at most 1073741824/u);
  });
});
