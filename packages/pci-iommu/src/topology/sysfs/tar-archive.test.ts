import { isTar, readTar } from '#dist/topology/sysfs/tar-archive.js';
import { describe, expect, test } from 'vitest';
import { makeTar } from './test-tar.ts';

const LONG = `${'folder/'.repeat(20)}name`;

function contents(archive: Uint8Array): unknown {
  return readTar(archive).map(({ path, bytes, target }) => [path, target ?? new TextDecoder().decode(bytes)]);
}

describe('tar archives', () => {
  test('files and links, with plain paths', () => {
    const archive = makeTar({ './a/b': 'text', '/c': new Uint8Array(0), 'a/d': { target: '../x' } });
    expect(isTar(archive)).toBe(true);
    expect(contents(archive)).toEqual([
      ['a/b', 'text'],
      ['c', ''],
      ['a/d', '../x'],
    ]);
  });

  test.each(['gnu', 'pax', 'ustar'] as const)('long names as %s has them', (form) => {
    expect(contents(makeTar({ [LONG]: 'x'.repeat(600), z: 'y' }, form))).toEqual([
      [LONG, 'x'.repeat(600)],
      ['z', 'y'],
    ]);
  });

  test.each(['gnu', 'pax'] as const)('long targets of links as %s has them', (form) => {
    expect(contents(makeTar({ [LONG]: { target: `../${LONG}` } }, form))).toEqual([[LONG, `../${LONG}`]]);
  });

  test('an archive that is cut off or damaged is refused', () => {
    const archive = makeTar({ a: 'x'.repeat(600) });
    expect(() => readTar(archive.subarray(0, 700))).toThrow(/archive is cut off: 600 bytes expected at 512/u);
    archive.set([0x39], 124);
    expect(() => readTar(archive)).toThrow(/archive is damaged: no size at 124/u);
  });

  test.each([
    ['leads back', `-${'0'.repeat(140)}1536`],
    ['is no number', LONG],
  ])('a size in a record that %s is refused', (_what, size) => {
    const archive = Buffer.from(makeTar({ [size]: 'x' }, 'pax'));
    archive.set(new TextEncoder().encode('size'), archive.indexOf('path='));
    expect(() => readTar(archive)).toThrow(/archive is damaged: no size at 0/u);
  });

  test('records of any number are read once', () => {
    const records = '5 a=\n'.repeat(100_000);
    expect(contents(makeTar({ pax: records, a: 'x' }).map((byte, at) => (at === 156 ? 0x78 : byte)))).toEqual([
      ['a', 'x'],
    ]);
  });

  test('other bytes are no archive', () => {
    expect(isTar(new Uint8Array(600))).toBe(false);
    expect(isTar(new TextEncoder().encode('00:00.0 Host bridge: X'))).toBe(false);
  });
});
