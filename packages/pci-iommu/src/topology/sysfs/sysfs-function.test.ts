import { describe, expect, test } from 'vitest';
import { describeFunctions, rawFunctionFromSysfs } from '../index.ts';

const EMPTY = '0x0000000000000000 0x0000000000000000 0x0000000000000000';
const RESOURCE = [
  '0x000039e000000000 0x000039efffffffff 0x000000000014220c',
  EMPTY,
  '0x00000000a6000000 0x00000000a7ffffff 0x0000000000040200',
  '0x0000000000002000 0x000000000000207f 0x0000000000040101',
  EMPTY,
  EMPTY,
  '0x00000000a8200000 0x00000000a82fffff 0x000000000004e200',
].join('\n');

function header(type: number): Uint8Array {
  const config = new Uint8Array(64);
  config.set([0xb3, 0x15, 0x13, 0x10]);
  config[0x0b] = 0x02;
  config[0x0e] = type;
  return config;
}

describe('sysfs files of a function', () => {
  test('BARs have address, size and kind from resource, ids from config', () => {
    const fn = rawFunctionFromSysfs({ bdf: '1a:00.0', config: header(0), resource: RESOURCE, numaNode: -1 });
    expect(fn).toMatchObject({
      bdf: '0000:1a:00.0',
      vendor: 0x15b3,
      device: 0x1013,
      class: 0x020000,
      acs: 'unknown',
      numaNode: null,
      rom: { address: 0xa8200000, size: 0x100000 },
    });
    expect(
      fn.bars.map(({ index, address, size, kind, prefetchable }) => [index, address, size, kind, prefetchable]),
    ).toEqual([
      [0, 0x39e000000000, 0x1000000000, 'mem64', true],
      [2, 0xa6000000, 0x2000000, 'mem32', false],
      [3, 0x2000, 0x80, 'io', false],
    ]);
  });

  test('a bridge has at most two BARs and no ROM row', () => {
    const fn = rawFunctionFromSysfs({ bdf: '1a:00.0', config: header(1), resource: RESOURCE, numaNode: 1 });
    expect(fn.bars).toHaveLength(1);
    expect(fn).toMatchObject({ rom: null, numaNode: 1 });
  });

  test('functions become a machine', () => {
    const fn = rawFunctionFromSysfs({ bdf: '1a:00.0', config: header(0), resource: RESOURCE });
    const { description } = describeFunctions([fn], { name: 'x' });
    expect(description.functions[0]?.bars).toHaveLength(3);
  });

  test('a row that cannot be read is refused with its line', () => {
    expect(() => rawFunctionFromSysfs({ bdf: '1a:00.0', config: header(0), resource: `${EMPTY}\nabc` })).toThrow(
      /line 2: expected "0xSTART 0xEND 0xFLAGS" in resource, got "abc"/u,
    );
  });
});
