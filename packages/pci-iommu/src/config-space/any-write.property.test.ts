import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { testBar } from '../topology/test-machine.ts';
import type { FunctionDescription } from '../topology/index.ts';
import { testConfig } from './test-function.ts';

const FULL: Partial<FunctionDescription> = {
  bars: [testBar(0x38_0000_0000, 2 ** 30), testBar(0x39_0000_0000, 2 ** 20, { index: 2 })],
  rom: { start: 0xfeb0_0000, size: 0x1_0000 },
  acs: { cap: 0x5f, ctrl: 0 },
  ats: true,
  pri: 32,
  pasid: 16,
  msi: { vectors: 32, wide: true, maskable: true },
  msix: { vectors: 16, bar: 2, offset: 0, pbaBar: 2, pbaOffset: 0x800 },
  sriov: { totalVfs: 8, numVfs: 0, vfOffset: 4, vfStride: 1, vfDevice: 0x1234 },
  resizableBars: [{ bar: 0, sizes: [2 ** 29, 2 ** 30] }],
};

const KINDS: readonly Partial<FunctionDescription>[] = [
  { ...FULL, kind: 'endpoint' },
  { ...FULL, kind: 'pci-device' },
  { ...FULL, kind: 'rciep' },
  { ...FULL, kind: 'root-port', bars: [], secondary: 2, subordinate: 4 },
];

const writes = fc.array(
  fc.record({
    offset: fc.nat(0x2ff),
    size: fc.constantFrom(1 as const, 2 as const, 4 as const),
    value: fc.nat(0xffff_ffff),
  }),
  { maxLength: 60 },
);

test('no write changes a bit that cannot be written, and what can be is what was written last', () => {
  fc.assert(
    fc.property(fc.constantFrom(...KINDS), writes, (kind, steps) => {
      using machine = testMachine();
      const { config } = testConfig(machine, { ...kind, flr: false });
      const { bytes, writable, clearable } = config.layout;
      for (const { offset, size, value } of steps) {
        const at = Math.floor(offset / size) * size;
        if (at + size > config.size) continue;
        config.write(at, size, value);
      }
      for (let at = 0; at < config.size; at += 4) {
        // Command and ACS control are those of the start of the machine; status bits are the device's.
        const own =
          (writable.get(at) ?? 0) | (clearable.get(at) ?? 0) | (at === config.extCapabilityAt(0x13) + 4 ? -1 : 0);
        const before = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
        expect([at, (config.read(at, 4) & ~own) >>> 0]).toEqual([at, (before & ~own) >>> 0]);
      }
    }),
    { numRuns: propertyRuns(60) },
  );
});

test('every bit that can be written can be set and cleared, by itself', () => {
  using machine = testMachine();
  const { config } = testConfig(machine, { ...FULL, kind: 'endpoint', flr: false });
  const acting = new Set([config.extCapabilityAt(0x10) + 0x10]);
  for (const [at, mask] of config.layout.writable) {
    if (acting.has(at)) continue;
    for (let bit = 0; bit < 32; bit++) {
      if ((mask & (1 << bit)) === 0) continue;
      config.write(at, 4, 1 << bit);
      expect([at, (config.read(at, 4) & mask) >>> 0]).toEqual([at, (1 << bit) >>> 0]);
    }
    config.write(at, 4, 0);
    expect(config.read(at, 4) & mask).toBe(0);
  }
});
