import { DmaBuf, FdTable, File } from '@dmabuf-emu/core';
import { type DmaBufRequest, type DmaRange, isRevoked, VfioDevice } from '@dmabuf-emu/exporter-vfio';
import type { ErrnoName, MachineOptions } from '@dmabuf-emu/shm';
import { describe, expect, test } from 'vitest';
import { VfioCore } from '#dist/device/vfio-core.js';
import { VfioStruct } from '#dist/device/vfio-struct.js';
import { Session } from '#dist/testing/importer.test-worker.js';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BAR2, BDF } from '../testing/topology.fixture.ts';

const PAGE = 0x1000;
const END = BAR2.size;
const WRAPS = 0xffff_ffff_ffff_f000n;
type Row = [
  what: string,
  region: number,
  ranges: (readonly [offset: number | bigint, length: number | bigint])[],
  errno: ErrnoName,
];

function request(region: number, ranges: Row[2], more: Partial<DmaBufRequest> = {}): DmaBufRequest {
  return { region, ranges: ranges.map(([offset, length]) => ({ offset, length })), ...more };
}

// drivers §5.2, §15.2
describe('what can be exported', () => {
  const good: [what: string, ranges: Row[2], size: number][] = [
    ['the whole BAR', [[0, END]], END],
    [
      'two ranges',
      [
        [0, PAGE],
        [0x2000, PAGE],
      ],
      2 * PAGE,
    ],
    [
      'the same pages twice',
      [
        [0, PAGE],
        [0, PAGE],
      ],
      2 * PAGE,
    ],
    ['up to the end of the BAR', [[END - PAGE, PAGE]], PAGE],
    ['64-bit arguments', [[0x2000n, 0x3000n]], 3 * PAGE],
  ];
  test.each(good)('%s', (_, ranges, size) => {
    using r = rig();
    const dmabuf = r.dut.exportDmaBuf(request(2, ranges));
    expect(dmabuf.size).toBe(size);
    expect(dmabuf.expName).toBe('vfio_pci_core');
    expect(dmabuf.refs).toBe(1);
    expect(dmabuf.resv.isLocked).toBe(false);
    expect(isRevoked(dmabuf)).toBe(false);
    expect(r.dut.dmaBufs().map(({ ref }) => ref)).toEqual([dmabuf.ref]);
    dmabuf.put();
    expect(r.dut.dmaBufs()).toEqual([]);
  });
});

describe('what cannot', () => {
  const rows: Row[] = [
    ['no ranges', 2, [], 'EINVAL'],
    ['no ranges of a region that is no BAR: row 4 comes before row 5', 7, [], 'EINVAL'],
    ['an empty range', 2, [[0, 0]], 'EINVAL'],
    ['an offset inside a page', 2, [[0x800, PAGE]], 'EINVAL'],
    ['a length that is not whole pages', 2, [[0, 0x1800]], 'EINVAL'],
    ['behind the end', 2, [[END, PAGE]], 'EINVAL'],
    ['over the end', 2, [[END - PAGE, 2 * PAGE]], 'EINVAL'],
    ['the address wraps', 2, [[WRAPS, PAGE]], 'EOVERFLOW'],
    [
      'the first range is checked first',
      2,
      [
        [END, PAGE],
        [WRAPS, PAGE],
      ],
      'EINVAL',
    ],
    [
      'so a wrapping one may come first',
      2,
      [
        [WRAPS, PAGE],
        [END, PAGE],
      ],
      'EOVERFLOW',
    ],
    [
      'lengths add up to 2^64',
      2,
      [
        [0, 2n ** 63n],
        [0, 2n ** 63n],
      ],
      'EINVAL',
    ],
    ['a length of 2^63', 2, [[0, 2n ** 63n]], 'EINVAL'],
    ['a length below that is only too long for the BAR', 2, [[0, 2n ** 63n - 4096n]], 'EINVAL'],
    [
      'lengths are checked before addresses',
      2,
      [
        [WRAPS, PAGE],
        [0, 0],
      ],
      'EINVAL',
    ],
    ['the ROM', 6, [[0, PAGE]], 'ENODEV'],
    ['configuration space', 7, [[0, PAGE]], 'ENODEV'],
    ['VGA', 8, [[0, PAGE]], 'ENODEV'],
    ['a region of the device', 9, [[0, PAGE]], 'ENODEV'],
    ['no region at all', 2 ** 32 - 1, [[0, PAGE]], 'ENODEV'],
    ['I/O ports', 4, [[0, PAGE]], 'EINVAL'],
    ['upper half of a BAR', 3, [[0, PAGE]], 'ENODEV'],
    ['a BAR that is not there', 5, [[0, PAGE]], 'ENODEV'],
    ['a bad range of a BAR that is not there: row 6 comes before row 8', 5, [[0, 1]], 'ENODEV'],
  ];
  test.each(rows)('%s', (_, region, ranges, code) => {
    using r = rig();
    expect(() => r.dut.exportDmaBuf(request(region, ranges))).toThrow(errno(code));
  });

  test('flags', () => {
    using r = rig();
    expect(() => r.dut.exportDmaBuf(request(2, [[0, PAGE]], { flags: 1 }))).toThrow(errno('EINVAL'));
    expect(() => r.dut.exportDmaBuf(request(7, [[0, PAGE]], { flags: 1 }))).toThrow(errno('EINVAL'));
  });

  test('messages say what was wrong', () => {
    using r = rig();
    const message = (region: number, ranges: Row[2]) => () => r.dut.exportDmaBuf(request(region, ranges));
    expect(message(2, [[END, PAGE]])).toThrow('range 0 ends at 0x4001000, the BAR at 0x4000000');
    expect(message(9, [[0, PAGE]])).toThrow('region 9 is no BAR');
    expect(message(2, [[0, 0x1800]])).toThrow('range 0 (offset 0x0, length 0x1800) must be whole pages of 4096 bytes');
  });

  test('a BAR that cannot be mapped has no provider', () => {
    using r = rig({ bdf: BDF.UNMAPPABLE });
    expect(() => r.buffer()).toThrow(errno('EINVAL'));
  });

  test('a driver that cannot export says so, whatever the request', () => {
    using r = rig();
    r.dut.close();
    const variant = VfioDevice.open(r.machine, BDF.DUT, { exportsDmaBufs: false });
    expect(() => variant.exportDmaBuf(request(7, []))).toThrow(errno('EOPNOTSUPP'));
    variant.close();
  });

  test('a BAR that another driver has taken', () => {
    using r = rig();
    r.dut.close();
    const device = VfioDevice.open(r.machine, BDF.DUT, { foreignBars: [2] });
    expect(() => device.exportDmaBuf(request(2, [[0, PAGE]]))).toThrow(errno('ENODEV'));
    expect(() => device.readBar(2, 0, 4)).toThrow(errno('EBUSY'));
    device.close();
  });

  test('a device that is being unregistered', () => {
    using r = rig();
    const { p } = VfioCore.of(r.machine, r.dut.fn.index);
    const held = VfioStruct.registration.exchange(r.machine.mem, p, 0);
    expect(() => r.buffer()).toThrow(errno('ENODEV'));
    VfioStruct.registration.store(r.machine.mem, p, held);
  });
});

// drivers §13, §15.2
describe('other kernels', () => {
  const early: MachineOptions['kernel'][] = ['6.19', '7.0', '7.1-rc2'];
  test.each(early)('%s does not claim the BAR: a missing one has no provider', (kernel) => {
    using r = rig({ kernel: kernel! });
    expect(() => r.dut.exportDmaBuf(request(3, [[0, PAGE]]))).toThrow(errno('EINVAL'));
    expect(() => r.dut.exportDmaBuf(request(5, [[0, PAGE]]))).toThrow(errno('EINVAL'));
    expect(() => r.dut.exportDmaBuf(request(6, [[0, PAGE]]))).toThrow(errno('ENODEV'));
  });

  test('7.3 finds at once that a BAR cannot be mapped', () => {
    using r = rig({ kernel: '7.3', bdf: BDF.UNMAPPABLE });
    expect(() => r.buffer()).toThrow(errno('ENODEV'));
  });

  test('without the claim another driver’s BAR is exported', () => {
    using r = rig({ quirks: ['vfio.noBarClaim'] });
    r.dut.close();
    const device = VfioDevice.open(r.machine, BDF.DUT, { foreignBars: [2] });
    const dmabuf = device.exportDmaBuf(request(2, [[0, PAGE]]));
    expect(dmabuf.size).toBe(PAGE);
    dmabuf.put();
    device.close();
  });
});

describe('many ranges', () => {
  const pages = (count: number): DmaRange[] =>
    Array.from({ length: count }, (_, i) => ({ offset: (i % 16384) * PAGE, length: PAGE }));

  test('262144 fit in one block', () => {
    using r = rig({ arenaBytes: 256 << 20 });
    const dmabuf = r.dut.exportDmaBuf({ region: 2, ranges: pages(262144) });
    expect(dmabuf.size).toBe(2 ** 30);
    dmabuf.put();
  });

  test('one more does not', () => {
    using r = rig();
    expect(() => r.dut.exportDmaBuf({ region: 2, ranges: pages(262145) })).toThrow(errno('ENOMEM'));
  });
});

test('while memory is disabled a buffer is made revoked, and nobody can attach', () => {
  using r = rig();
  r.dut.command.memory = false;
  const dmabuf = r.buffer();
  expect(isRevoked(dmabuf)).toBe(true);
  expect(() => Session.attach(dmabuf, r.near)).toThrow(errno('ENODEV'));
  r.dut.command.memory = true;
  const session = Session.attach(dmabuf, r.near);
  session.map();
  session.end();
  dmabuf.put();
});

test('the descriptor owns the reference, and has the flags asked for', () => {
  using r = rig();
  const fd = r.dut.exportDmaBufFd(request(2, [[0, PAGE]], { openFlags: 0o2000002 }));
  const table = FdTable.current(r.machine);
  expect(table.entries().find((entry) => entry.fd === fd)?.cloexec).toBe(true);
  const dmabuf = DmaBuf.get(r.machine, fd);
  expect(dmabuf.file.flags & 3).toBe(2);
  expect(dmabuf.refs).toBe(2);
  dmabuf.put();
  table.close(fd);
  expect(r.dut.dmaBufs()).toEqual([]);
});

// drivers §10.1 F6
test('no descriptor left: EMFILE, and everything is undone once', () => {
  using r = rig();
  FdTable.create(r.machine, { limit: 2 }).join();
  const table = FdTable.current(r.machine);
  const fds = [0, 1].map(() => r.dut.exportDmaBufFd(request(2, [[0, PAGE]])));
  expect(() => r.dut.exportDmaBufFd(request(2, [[0, PAGE]]))).toThrow(errno('EMFILE'));
  expect(r.dut.dmaBufs()).toHaveLength(2);
  for (const fd of fds) table.close(fd);
  r.dut.exportDmaBuf(request(2, [[0, PAGE]])).put();
});

test('no file left: ENFILE, and everything is undone', () => {
  using r = rig();
  File.setLimit(r.machine, 1);
  const dmabuf = r.buffer();
  expect(() => r.buffer()).toThrow(errno('ENFILE'));
  File.setLimit(r.machine, 0);
  dmabuf.put();
});
