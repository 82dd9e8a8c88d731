import { describe, expect, test } from 'vitest';
import { decodeConfig } from './decode-config.ts';

/** Config space of the given size with little-endian values written into it. */
function config(
  size: number,
  values: readonly (readonly [offset: number, bytes: 1 | 2 | 4, value: number])[],
): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  for (const [offset, width, value] of values) {
    if (width === 1) view.setUint8(offset, value);
    else if (width === 2) view.setUint16(offset, value, true);
    else view.setUint32(offset, value, true);
  }
  return bytes;
}

const IDS = [
  [0x00, 2, 0x10de],
  [0x02, 2, 0x26b1],
  [0x04, 2, 0x0406],
  [0x08, 4, 0x030000a1],
] as const;
const CAP_LIST = [0x06, 2, 0x0010] as const;

describe('config space bytes', () => {
  test('header of a device: ids, command and the kinds of BARs', () => {
    const facts = decodeConfig(
      config(64, [
        ...IDS,
        [0x0e, 1, 0x80],
        [0x10, 4, 0xf8000000],
        [0x14, 4, 0x0000000c],
        [0x18, 4, 0x000003f0],
        [0x1c, 4, 0x00002001],
      ]),
    );
    expect(facts).toMatchObject({
      vendor: 0x10de,
      device: 0x26b1,
      class: 0x030000,
      revision: 0xa1,
      command: 0x406,
      multifunction: true,
      pcieType: 'unknown',
      acs: 'unknown',
      flr: null,
    });
    expect(facts.barRegisters).toEqual([
      { index: 0, address: 0xf8000000, size: null, kind: 'mem32', prefetchable: false, flags: [] },
      { index: 1, address: 0x3f000000000, size: null, kind: 'mem64', prefetchable: true, flags: [] },
      { index: 3, address: 0x2000, size: null, kind: 'io', prefetchable: false, flags: [] },
    ]);
  });

  test('header of a bridge: buses and windows', () => {
    const facts = decodeConfig(
      config(64, [
        ...IDS,
        [0x0e, 1, 0x01],
        [0x18, 4, 0x00130100],
        [0x1c, 2, 0x3121],
        [0x20, 4, 0xdf20df00],
        [0x24, 4, 0xf201f001],
        [0x28, 4, 0x3f],
        [0x2c, 4, 0x3f],
      ]),
    );
    expect(facts.bus).toEqual({ primary: 0, secondary: 1, subordinate: 0x13 });
    expect(facts.windows).toEqual([
      { kind: 'io', start: 0x2000, end: 0x3fff },
      { kind: 'mem', start: 0xdf000000, end: 0xdf2fffff },
      { kind: 'prefetch', start: 0x3ff0000000, end: 0x3ff20fffff },
    ]);
  });

  test('windows with base above limit are disabled', () => {
    const facts = decodeConfig(
      config(64, [...IDS, [0x0e, 1, 1], [0x1c, 2, 0x00f0], [0x20, 4, 0x0000fff0], [0x24, 4, 0x0001fff1]]),
    );
    expect(facts.windows).toEqual([]);
  });

  test('capabilities: type, FLR, power management, ACS, ATS, SR-IOV', () => {
    const facts = decodeConfig(
      config(4096, [
        ...IDS,
        CAP_LIST,
        [0x34, 1, 0x40],
        [0x40, 2, 0x6001],
        [0x60, 2, 0x9c10],
        [0x62, 2, 0x0002],
        [0x64, 4, 0x10000000],
        [0x9c, 2, 0x0011],
        [0x9e, 2, 0x803f],
        [0xa0, 4, 0x00002002],
        [0x100, 4, 0x15010001],
        [0x150, 4, 0x1801000d],
        [0x154, 2, 0x005f],
        [0x156, 2, 0x001d],
        [0x180, 4, 0x2000_0010 + 0x10000],
        [0x18e, 2, 16],
        [0x190, 2, 2],
        [0x194, 2, 2],
        [0x196, 2, 1],
        [0x19a, 2, 0x101e],
        [0x200, 4, 0x0001000f],
      ]),
    );
    expect(facts).toMatchObject({
      pcieType: 0,
      flr: true,
      pm: true,
      ats: true,
      acs: { cap: 0x5f, ctrl: 0x1d },
      sriov: { totalVfs: 16, numVfs: 2, vfOffset: 2, vfStride: 1, vfDevice: 0x101e },
      msix: { vectors: 64, tableBar: 2, tableOffset: 0x2000 },
    });
    expect(facts.capabilities.map(({ id, extended }) => [id, extended])).toEqual([
      [0x01, false],
      [0x10, false],
      [0x11, false],
      [0x01, true],
      [0x0d, true],
      [0x10, true],
      [0x0f, true],
    ]);
  });

  test('256 bytes show the type but not ACS; without PCIe there is none', () => {
    const pcie = decodeConfig(config(256, [...IDS, CAP_LIST, [0x34, 1, 0x40], [0x40, 2, 0x0010], [0x42, 2, 0x0062]]));
    expect(pcie).toMatchObject({ pcieType: 6, acs: 'unknown', ats: null, pm: false });
    const conventional = decodeConfig(config(256, IDS));
    expect(conventional).toMatchObject({ pcieType: null, acs: null, ats: false, flr: false });
  });

  test('lists that loop or leave the bytes end', () => {
    const looping = decodeConfig(config(256, [...IDS, CAP_LIST, [0x34, 1, 0x40], [0x40, 2, 0x4001]]));
    expect(looping.capabilities.length).toBeGreaterThan(0);
    const leaving = decodeConfig(config(64, [...IDS, CAP_LIST, [0x34, 1, 0x40]]));
    expect(leaving.capabilities).toEqual([]);
    const extended = decodeConfig(config(4096, [...IDS, [0x100, 4, 0x10010003]]));
    expect(extended.capabilities.length).toBeLessThan(200);
  });

  test('the ids of a virtual function read all ones and stay unknown', () => {
    expect(decodeConfig(config(64, [[0x00, 4, 0xffffffff]]))).toMatchObject({ vendor: null, device: null });
  });
});
