import { entryKey, keyOfPageOffset, MmapCommand, pageOffsetOf } from '@dmabuf-emu/exporter-rdma';
import fc from 'fast-check';
import { expect, test } from 'vitest';

// drivers §6.7
test.each([
  [MmapCommand.DEVICE_MEM, 0, 0x80_0000],
  [MmapCommand.DEVICE_MEM, 1, 0x80_1000],
  [MmapCommand.DEVICE_MEM, 0x123, 0x1082_3000],
  [MmapCommand.UAR, 0xffff, 0xf_f09f_f000],
])('command %i, index %i is at offset %i', (command, index, offset) => {
  expect(pageOffsetOf(entryKey(command, index))).toBe(offset);
  expect(keyOfPageOffset(BigInt(offset))).toBe(entryKey(command, index));
});

test('every key survives the way there and back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xff }), fc.integer({ min: 0, max: 0xffff }), (command, index) => {
      const key = entryKey(command, index);
      expect(keyOfPageOffset(BigInt(pageOffsetOf(key)))).toBe(key);
    }),
    { seed: 3 },
  );
});

test('bits of the offset below a page, and those that nobody uses, are ignored', () => {
  const key = entryKey(8, 7);
  const offset = BigInt(pageOffsetOf(key));
  expect(keyOfPageOffset(offset + 0xfffn)).toBe(key);
  expect(keyOfPageOffset(offset + (1n << 36n))).toBe(key);
  expect(keyOfPageOffset(offset + (1n << 63n))).toBe(key);
});
