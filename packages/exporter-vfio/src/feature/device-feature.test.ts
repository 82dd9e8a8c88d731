import { DmaBuf, FdTable } from '@dmabuf-emu/core';
import {
  encodeDmaBufFeature,
  VFIO_DEVICE_FEATURE_DMA_BUF as DMA_BUF,
  VFIO_DEVICE_FEATURE_GET as GET,
  VFIO_DEVICE_FEATURE_PROBE as PROBE,
  VFIO_DEVICE_FEATURE_SET as SET,
  VfioDevice,
} from '@dmabuf-emu/exporter-vfio';
import type { ErrnoName } from '@dmabuf-emu/shm';
import { describe, expect, test } from 'vitest';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

const ranges = [{ offset: 0, length: 0x1000 }];

function argument(featureFlags: number, argsz = 40): Uint8Array {
  return encodeDmaBufFeature({ region: 2, ranges, featureFlags, argsz });
}

// drivers §5.1, §15.2
describe('what the ioctl checks of any feature', () => {
  const rows: [what: string, bytes: Uint8Array, errno: ErrnoName][] = [
    ['no header', new Uint8Array(7), 'EFAULT'],
    ['argsz below the header', argument(GET | DMA_BUF, 7), 'EINVAL'],
    ['unknown flag', argument(GET | DMA_BUF | (1 << 19)), 'EINVAL'],
    ['highest flag', argument(GET | DMA_BUF | (1 << 31)), 'EINVAL'],
    ['GET and SET', argument(GET | SET | DMA_BUF), 'EINVAL'],
    ['GET and SET of an unknown feature', argument(GET | SET | 99), 'EINVAL'],
    ['unknown feature', argument(GET | 99), 'ENOTTY'],
    ['unknown feature, probed', argument(PROBE | GET | 12), 'ENOTTY'],
    ['bus master, which is not for vfio-pci', argument(SET | 10), 'ENOTTY'],
    ['migration', argument(GET | 1), 'ENOTTY'],
  ];
  test.each(rows)('%s', (_, bytes, code) => {
    using r = rig();
    expect(() => r.dut.feature(bytes)).toThrow(errno(code));
  });
});

describe('what it checks of DMA_BUF', () => {
  const rows: [what: string, bytes: Uint8Array, errno: ErrnoName][] = [
    ['SET', argument(SET | DMA_BUF), 'EINVAL'],
    ['PROBE and SET', argument(PROBE | SET | DMA_BUF), 'EINVAL'],
    ['PROBE, GET and SET', argument(PROBE | GET | SET | DMA_BUF), 'EINVAL'],
    ['no operation', argument(DMA_BUF), 'EINVAL'],
    ['argsz too small for the fixed part', argument(GET | DMA_BUF, 23), 'EINVAL'],
    ['memory ends in the fixed part', argument(GET | DMA_BUF, 24).subarray(0, 23), 'EFAULT'],
    ['memory ends in the ranges', argument(GET | DMA_BUF, 24).subarray(0, 39), 'EFAULT'],
    ['flags before unreadable ranges', encodeDmaBufFeature({ region: 2, ranges, flags: 1 }).subarray(0, 24), 'EINVAL'],
    ['region before unreadable ranges', encodeDmaBufFeature({ region: 8, ranges }).subarray(0, 24), 'ENODEV'],
  ];
  test.each(rows)('%s', (_, bytes, code) => {
    using r = rig();
    expect(() => r.dut.feature(bytes)).toThrow(errno(code));
  });

  test.each([
    ['PROBE', PROBE | DMA_BUF, 40],
    ['PROBE and GET', PROBE | GET | DMA_BUF, 40],
    ['PROBE and GET without data', PROBE | GET | DMA_BUF, 8],
  ])('%s succeeds and makes nothing', (_, flags, argsz) => {
    using r = rig();
    expect(r.dut.feature(argument(flags, argsz))).toBe(0);
    expect(FdTable.current(r.machine).size).toBe(0);
  });

  test('a driver that cannot export is found before the checks of the feature', () => {
    using r = rig();
    r.dut.close();
    const variant = VfioDevice.open(r.machine, BDF.DUT, { exportsDmaBufs: false });
    expect(() => variant.feature(argument(SET | DMA_BUF))).toThrow(errno('EOPNOTSUPP'));
    expect(() => variant.feature(argument(PROBE | DMA_BUF))).toThrow(errno('EOPNOTSUPP'));
    variant.close();
  });
});

test('returns a descriptor, whatever argsz says of the ranges', () => {
  using r = rig();
  const table = FdTable.current(r.machine);
  const fds = [r.dut.feature(argument(GET | DMA_BUF, 24)), r.dut.feature({ region: 2, ranges })];
  for (const fd of fds) {
    const dmabuf = DmaBuf.get(r.machine, fd);
    expect(dmabuf.size).toBe(0x1000);
    dmabuf.put();
    table.close(fd);
  }
});

test('values of 64 bits arrive as they are', () => {
  using r = rig();
  expect(() => r.dut.feature({ region: 2, ranges: [{ offset: 2n ** 64n - 4096n, length: 4096n }] })).toThrow(
    errno('EOVERFLOW'),
  );
  expect(() => r.dut.feature({ region: 2, ranges: [{ offset: 0, length: 2 ** 63 }] })).toThrow(errno('EINVAL'));
});

describe('low power', () => {
  const header = (flags: number): Uint8Array => argument(flags, 8).subarray(0, 8);

  test('entry and exit', () => {
    using r = rig();
    const dmabuf = r.buffer();
    expect(r.dut.feature(header(PROBE | SET | 3))).toBe(0);
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    expect(r.dut.feature(header(SET | 3))).toBe(0);
    expect(r.dut.revokedOf(dmabuf)).toBe(true);
    expect(() => r.dut.feature(header(SET | 3))).toThrow(errno('EINVAL'));
    expect(() => r.dut.feature(header(GET | 5))).toThrow(errno('EINVAL'));
    expect(r.dut.feature(header(SET | 5))).toBe(0);
    expect(r.dut.revokedOf(dmabuf)).toBe(false);
    dmabuf.put();
  });

  test('there is no eventfd to wake anybody', () => {
    using r = rig();
    expect(r.dut.feature(header(PROBE | SET | 4))).toBe(0);
    expect(() => r.dut.feature(header(SET | 4))).toThrow(errno('EINVAL'));
    expect(() => r.dut.feature(argument(SET | 4, 16))).toThrow(errno('EBADF'));
  });
});
