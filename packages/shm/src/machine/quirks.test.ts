import { defineQuirks } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { expect, test } from 'vitest';

const QUIRKS = defineQuirks({
  'test.old': { what: 'does it the old way', why: 'changed in 7.0', kernels: ['6.12', '6.19'] },
  'test.alone': { what: 'does it by request only', why: 'a defect that was never released', kernels: [] },
});

test.each([
  [{}, false, false],
  [{ kernel: '6.19' as const }, true, false],
  [{ quirks: ['test.alone'] }, false, true],
  [{ kernel: '7.3' as const, quirks: ['test.old'] }, true, false],
])('a machine made with %j has the quirks of its kernel and those it asks for', (options, old, alone) => {
  using machine = testMachine(options);
  expect(QUIRKS.has(machine, 'test.old')).toBe(old);
  expect(QUIRKS.has(machine, 'test.alone')).toBe(alone);
});
