import { testMachine } from '@dmabuf-emu/shm/testing';
import { expect, test } from 'vitest';
import { PciSystem } from '../system/pci-system.ts';
import { readMachine } from '../topology/index.ts';
import { readRealDump, realDumps } from '../topology/test-real-dumps.ts';

const DUMP = 'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt';

test.skipIf(realDumps === null)('every function of a real machine interrupts by the registers of its dump', () => {
  using machine = testMachine();
  const { description } = readMachine(readRealDump(DUMP), { lenient: true });
  const pci = PciSystem.create(machine, { topology: description });
  const used = { msi: 0, msix: 0 };
  for (const { interrupts } of pci.functions) {
    for (const kind of ['msi', 'msix'] as const) {
      const vectors = Math.min(interrupts.count(kind), 8);
      if (vectors === 0) continue;
      interrupts.enable(kind, vectors);
      interrupts.trigger(vectors - 1);
      expect(interrupts.received(vectors - 1)).toBe(1);
      interrupts.disable();
      used[kind]++;
    }
  }
  expect(used.msi).toBeGreaterThan(20);
  expect(used.msix).toBeGreaterThan(5);
  expect(pci.functions.filter(({ config }) => config.powerState !== 0)).toEqual([]);
});
