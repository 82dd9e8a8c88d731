import { describe, expect, it } from 'vitest';
import { checkIova, chooseIova, type IovaLayout } from '#dist/iommufd/iova-choice.js';

const MIB = 1 << 20;
const empty: IovaLayout = { taken: [], reserved: [], alignment: 4096 };
const code = (errno: string) => expect.objectContaining({ code: errno });

// spec: drivers §7.2
describe('choosing an address', () => {
  it.each([
    ['a page', empty, 0, 4096, 4096],
    ['never page 0, aligned to the length', empty, 0, 65536, 65536],
    ['aligned to the next power of two', empty, 0, 3 * 65536, 4 * 65536],
    ['no more than to a huge page', empty, 0, 64 * MIB, 2 * MIB],
    ['no more than the start is', empty, 0x3000, 65536, 4096],
    ['behind what is taken', { ...empty, taken: [{ iova: 4096, length: 8192 }] }, 0, 4096, 3 * 4096],
    [
      'in the first hole that is large enough',
      { ...empty, taken: [{ iova: 8192, length: 4096 }] },
      0x1000,
      8192,
      3 * 4096,
    ],
    ['past what is reserved', { ...empty, reserved: [{ start: 0, end: 0xfee0_0fff }] }, 0, 4096, 0xfee0_1000],
    ['with the offset in the page', { ...empty, alignment: 1 }, 0x1234, 100, 0x1000 + 0x234],
  ])('%s', (_, layout, start, length, iova) => {
    expect(chooseIova(layout, start, length)).toBe(iova);
  });

  it('fails where nothing is free', () => {
    const full = { ...empty, reserved: [{ start: 0, end: 2 ** 48 - 8192 }] };
    expect(() => chooseIova(full, 0, 65536)).toThrow(code('ENOSPC'));
    expect(() => chooseIova(empty, 0, 2 ** 63)).toThrow(code('EOVERFLOW'));
  });
});

describe('a wanted address', () => {
  const layout = { ...empty, taken: [{ iova: 0x10000, length: 0x2000 }], reserved: [{ start: 0x80000, end: 0x8ffff }] };

  it.each([
    ['misaligned', 0x10, 4096, 'EINVAL'],
    ['beyond 64 bits', 2 ** 64 - 4096, 8192, 'EOVERFLOW'],
    ['in a reserved range', 0x7f000, 8192, 'EINVAL'],
    ['over an area', 0xf000, 8192, 'EEXIST'],
    ['over the end of an area', 0x11000, 4096, 'EEXIST'],
  ])('is refused when it is %s', (_, iova, length, errno) => {
    expect(() => checkIova(layout, iova, length)).toThrow(code(errno));
  });

  it('is taken right before and behind an area', () => {
    expect(() => checkIova(layout, 0xe000, 0x2000)).not.toThrow();
    expect(() => checkIova(layout, 0x12000, 0x1000)).not.toThrow();
  });
});
