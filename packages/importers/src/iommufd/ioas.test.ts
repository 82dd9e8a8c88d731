import type { DmaBuf, Exporter } from '@dmabuf-emu/core';
import { Ioas, IoasMap, iommufdDevice, type IoasOptions, type MapFileRequest } from '@dmabuf-emu/importers';
import { type IommuDomain, PciSystem } from '@dmabuf-emu/pci-iommu';
import type { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import {
  laxExporter,
  rdmaLike,
  revocableOf,
  revoke,
  unrevoke,
  vfioLike,
} from '#dist/testing/bar-exporter.test-worker.js';
import { buffer, BYTES, NIC, pciOf } from '#dist/testing/rig.test-worker.js';
import { eventsSince } from '../testing/trace.fixture.ts';

const { FIXED_IOVA, READABLE, WRITEABLE } = IoasMap;
const RW = READABLE | WRITEABLE;
const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
/** Where the buffers of these tests are. */
const PADDR = 0x2f000000000 + (1 << 20);

/** An address space, domains in it, and a buffer. */
class Rig implements Disposable {
  readonly machine: Machine;
  readonly pci: PciSystem;
  readonly ioas: Ioas;
  readonly domains: IommuDomain[];
  readonly dmabuf: DmaBuf;
  readonly #dispose: () => void;

  constructor({ domains = 1, exporter = vfioLike, trace = 0, split = 0, ...options }: RigOptions = {}) {
    const machine = testMachine({ traceEvents: trace });
    this.#dispose = () => machine[Symbol.dispose]();
    this.machine = machine;
    this.pci = pciOf(machine, true);
    this.ioas = Ioas.alloc({ pci: this.pci, device: iommufdDevice(machine), ...options });
    this.domains = Array.from({ length: domains }, () => this.pci.createDomain());
    for (const domain of this.domains) this.ioas.addDomain(domain);
    this.dmabuf = buffer(machine, exporter, { split });
  }

  map(request: Partial<MapFileRequest> = {}): number {
    return this.ioas.mapFile({ flags: RW, file: this.dmabuf, start: 0, length: BYTES, ...request });
  }

  /** Pages mapped in each domain. */
  get pages(): number[] {
    return this.domains.map((domain) => domain.mappedPages);
  }

  [Symbol.dispose](): void {
    this.ioas.destroy();
    for (const domain of this.domains) domain.destroy();
    this.dmabuf.put();
    this.#dispose();
  }
}
type RigOptions = Partial<IoasOptions> & { domains?: number; exporter?: Exporter; trace?: number; split?: number };

describe('IOAS_MAP_FILE', () => {
  // spec: drivers §7.2
  it.each<[string, Partial<MapFileRequest>, string]>([
    ['unknown flags', { flags: 8 | RW }, 'EOPNOTSUPP'],
    ['an address of 2^64-1', { iova: 2n ** 64n - 1n }, 'EOVERFLOW'],
    ['a length of 2^64-1', { length: 2n ** 64n - 1n }, 'EOVERFLOW'],
    ['neither readable nor writeable', { flags: FIXED_IOVA }, 'EINVAL'],
    ['no bytes', { length: 0 }, 'EINVAL'],
    ['a range beyond 64 bits', { start: 2n ** 64n - 4096n, length: 8192n }, 'EOVERFLOW'],
    ['a descriptor of nothing', { file: 77 }, 'EBADF'],
    ['a start behind the buffer', { start: BYTES, length: BYTES }, 'EINVAL'],
    ['a byte too many', { length: BYTES + 1 }, 'EINVAL'],
    ['a length that is no multiple of a page', { length: 100 }, 'EINVAL'],
    ['a start that is no multiple of a page', { start: 0x10, length: 4096 }, 'EINVAL'],
    ['a misaligned address', { flags: RW | FIXED_IOVA, iova: 0x10 }, 'EINVAL'],
    ['an address beyond 64 bits', { flags: RW | FIXED_IOVA, iova: 2n ** 64n - 4096n }, 'EOVERFLOW'],
    ['an address beyond the aperture', { flags: RW | FIXED_IOVA, iova: 2 ** 48 }, 'EINVAL'],
  ])('refuses %s', (_, request, code) => {
    using rig = new Rig();
    expect(() => rig.map(request)).toThrow(kernelError(code));
    expect(rig.dmabuf.attachments()).toEqual([]);
    expect(rig.dmabuf.refs).toBe(1);
    expect(rig.ioas.areas()).toEqual([]);
  });

  it('refuses what the exporter refuses', () => {
    for (const [options, code] of [
      [{ exporter: rdmaLike }, 'EOPNOTSUPP'],
      [{ split: 0x4000 }, 'EOPNOTSUPP'],
    ] as const) {
      using rig = new Rig(options);
      expect(() => rig.map()).toThrow(kernelError(code));
      expect(rig.dmabuf.attachments()).toEqual([]);
    }
    for (const exporter of [vfioLike, laxExporter]) {
      using rig = new Rig({ exporter });
      revoke(rig.dmabuf);
      expect(() => rig.map()).toThrow(kernelError('ENODEV'));
      expect(rig.dmabuf.attachments()).toEqual([]);
    }
  });

  it('maps the physical range, and keeps the buffer alive without its descriptor', () => {
    using rig = new Rig({ domains: 2 });
    const iova = rig.map({ start: 0x2000, length: 0x3000 });
    for (const domain of rig.domains) {
      expect(domain.iovaToPhys(iova)).toBe(PADDR + 0x2000);
      expect(domain.iovaToPhys(iova + 0x2fff)).toBe(PADDR + 0x4fff);
      expect(domain.iovaToPhys(iova + 0x3000)).toBe(0);
    }
    expect(rig.ioas.areas()).toMatchObject([{ iova, length: 0x3000 }]);
    expect(rig.dmabuf.refs).toBe(2);
    expect(rig.ioas.areas()[0]!.pages.tracked).toBe(2);
    expect(rig.ioas.areas()[0]!.pages.attachment.device.kind).toBe('platform');
  });

  it('takes bytes, not pages, while no domain is there', () => {
    using rig = new Rig({ domains: 0 });
    const iova = rig.map({ start: 0x1234, length: 100 });
    expect(iova % 4096).toBe(0x234);
    const domain = rig.pci.createDomain();
    expect(() => rig.ioas.addDomain(domain)).toThrow(kernelError('EADDRINUSE'));
    domain.destroy();
    expect(() => rig.ioas.addDomain(rig.pci.domains.blocked())).toThrow(kernelError('EINVAL'));
  });

  it('maps at the address asked for unless something is there', () => {
    using rig = new Rig({ reserved: [{ start: 0x80000, end: 0x8ffff }] });
    expect(rig.map({ flags: RW | FIXED_IOVA, iova: 0x40000, length: 0x2000 })).toBe(0x40000);
    expect(() => rig.map({ flags: RW | FIXED_IOVA, iova: 0x41000, length: 0x2000 })).toThrow(kernelError('EEXIST'));
    expect(() => rig.map({ flags: RW | FIXED_IOVA, iova: 0x80000, length: 0x1000 })).toThrow(kernelError('EINVAL'));
    expect(rig.dmabuf.attachments()).toHaveLength(1);
  });

  it('lets a device read where it may only read', () => {
    using rig = new Rig();
    const iova = rig.map({ flags: READABLE });
    const nic = rig.pci.function(NIC);
    nic.attachDomain(rig.domains[0]!);
    expect(nic.dma.read(iova, 4)).toHaveLength(4);
    expect(() => nic.dma.write(iova, Uint8Array.of(1))).toThrow(expect.objectContaining({ name: 'DmaFault' }));
    nic.attachDomain(null);
  });
});

describe('IOAS_UNMAP', () => {
  it('unmaps whole areas only', () => {
    using rig = new Rig({ domains: 2 });
    const areas = [0, 1].map((i) => rig.map({ flags: RW | FIXED_IOVA, iova: 0x100000 + i * 0x10000, length: 0x10000 }));
    expect(rig.pages).toEqual([32, 32]);
    expect(() => rig.ioas.unmap(areas[0]!, 0x8000)).toThrow(kernelError('ENOENT'));
    expect(() => rig.ioas.unmap(0x200000, 0x1000)).toThrow(kernelError('ENOENT'));
    expect(() => rig.ioas.unmap(0x200000, 0)).toThrow(kernelError('EINVAL'));
    expect(rig.ioas.unmap(areas[0]!, 0x10000)).toBe(0x10000);
    expect(rig.pages).toEqual([16, 16]);
    expect(rig.ioas.unmap(0, 2 ** 40)).toBe(0x10000);
    expect(rig.pages).toEqual([0, 0]);
    expect(rig.dmabuf.refs).toBe(1);
  });
});

describe('a domain of an address space', () => {
  it('gets every area when it comes, and loses them when it goes', () => {
    using rig = new Rig({ domains: 0 });
    rig.map({ flags: RW | FIXED_IOVA, iova: 0x10000 });
    rig.map({ flags: RW | FIXED_IOVA, iova: 0x100000 });
    const domain = rig.pci.createDomain();
    rig.ioas.addDomain(domain);
    expect(domain.mappedPages).toBe(128);
    rig.ioas.removeDomain(domain);
    expect(domain.mappedPages).toBe(0);
    expect(rig.ioas.areas()[0]!.pages.tracked).toBe(0);
    domain.destroy();
  });

  it('is left as it was when an area does not fit into it', () => {
    using rig = new Rig({ domains: 0 });
    rig.map({ flags: RW | FIXED_IOVA, iova: 0x10000 });
    rig.map({ flags: RW | FIXED_IOVA, iova: 0x100000 });
    const domain = rig.pci.createDomain();
    domain.map(0x100000, PADDR, 4096, 1);
    expect(() => rig.ioas.addDomain(domain)).toThrow(kernelError('EADDRINUSE'));
    expect(domain.mappedPages).toBe(1);
    expect(rig.ioas.areas().map(({ pages }) => pages.tracked)).toEqual([0, 0]);
    domain.unmap(0x100000, 4096);
    domain.destroy();
  });
});

describe('a buffer that is taken back', () => {
  // spec: drivers §7.6, dmabuf_revoke
  it.each([0, 1, 2])('leaves a hole for good in %i domains', (domains) => {
    using rig = new Rig({ domains });
    const iova = rig.map();
    revoke(rig.dmabuf);
    expect(rig.pages).toEqual(rig.domains.map(() => 0));
    const late = rig.pci.createDomain();
    rig.ioas.addDomain(late);
    expect(late.mappedPages).toBe(0);
    expect(() => rig.map()).toThrow(kernelError('ENODEV'));
    unrevoke(rig.dmabuf);
    expect(late.mappedPages).toBe(0);
    const again = rig.map();
    expect(again).not.toBe(iova);
    expect(late.mappedPages).toBe(64);
    expect(rig.ioas.unmap(iova, BYTES)).toBe(BYTES);
    expect(late.mappedPages).toBe(64);
    expect(rig.map({ flags: RW | FIXED_IOVA, iova })).toBe(iova);
    expect(late.mappedPages).toBe(128);
    rig.ioas.removeDomain(late);
    late.destroy();
  });

  // spec: drivers §14.4
  it('follows the reference sequence', () => {
    using rig = new Rig({ trace: 1024 });
    const events = eventsSince(rig.machine);
    const iova = rig.map();
    expect(events()).toEqual(['dynamic_attach', 'pin', 'put']);
    const { pages } = rig.ioas.areas()[0]!;
    const nic = rig.pci.function(NIC);
    nic.attachDomain(rig.domains[0]!);
    nic.dma.write(iova, Uint8Array.of(1, 2, 3));
    expect([...rig.pci.memory.cpuRead(PADDR, 3)]).toEqual([1, 2, 3]);
    expect(revocableOf(rig.dmabuf).mapCount).toBe(1);
    revoke(rig.dmabuf);
    expect(events()).toEqual([
      'revoke 1',
      'revoke 2',
      'revoke 3',
      'invalidate_mappings',
      'revoke 4',
      'revoke 5',
      'revoke 6',
      'revoke 7',
    ]);
    expect(pages).toMatchObject({ revoked: true, revokes: 1 });
    expect(() => nic.dma.write(iova, Uint8Array.of(9))).toThrow(expect.objectContaining({ name: 'DmaFault' }));
    expect(rig.pci.faults.counts()).toEqual({ 'iommu-fault': 1 });
    unrevoke(rig.dmabuf);
    expect(pages.revokes).toBe(1);
    expect(() => nic.dma.read(iova, 1)).toThrow(expect.objectContaining({ name: 'DmaFault' }));
    expect(rig.ioas.unmap(iova, BYTES)).toBe(BYTES);
    expect(events()).toEqual(['invalidate_mappings', 'unpin', 'detach', 'put']);
    nic.attachDomain(null);
  });
});
