import assert from 'node:assert/strict';
import { IOMMU_MODES, type IommuMode, registerImporters, UserMemory, VfioContainer } from '@dmabuf-emu/importers';
import { builtinMachine, DmaFault, type MachineDescription, type PciFunction, PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError, Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { NIC } from '#dist/testing/rig.test-worker.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const PAGE = 4 * KIB;
const IOVA = 0x1_0000_0000;
const isIommufd = (mode: IommuMode): boolean => mode.startsWith('iommufd');
const errno = (code: string) => expect.objectContaining({ name: 'KernelError', code });

/** A server whose NIC can interrupt. */
function withMsi(): MachineDescription {
  const machine = builtinMachine('genoa-4gpu');
  const msi = { vectors: 1, wide: true, maskable: true };
  return { ...machine, functions: machine.functions.map((fn) => (fn.bdf === NIC ? { ...fn, msi } : fn)) };
}

/** A container with a NIC in it, and memory of a program. */
class Rig implements Disposable {
  readonly machine = testMachine();
  readonly pci = PciSystem.create(this.machine, { topology: withMsi(), ramBytes: 4 * GIB });
  readonly memory = new UserMemory(this.machine);
  readonly nic: PciFunction = this.pci.function(NIC);
  readonly container: VfioContainer;

  constructor(mode: IommuMode) {
    this.container = VfioContainer.open(this.machine, mode, this.nic);
  }

  /** Nothing is left, on the whole machine, once the container is closed. */
  [Symbol.dispose](): void {
    this.container.close();
    const { errors, leaks } = this.machine.verify();
    this.machine[Symbol.dispose]();
    assert.deepEqual({ errors, leaks }, { errors: [], leaks: [] });
  }
}

/** What a call returns, or the errno that it throws. */
function outcome<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    if (error instanceof KernelError) return error.code;
    throw error;
  }
}

const PAGES = [
  ['anonymous', PAGE],
  ['anonymous_hugetlb_2mb', 2 * MIB],
  ['anonymous_hugetlb_1gb', GIB],
] as const;

describe('vfio_dma_mapping_test', () => {
  describe.each(IOMMU_MODES)('%s', (mode) => {
    test.each(PAGES)('%s.dma_map_unmap', (_variant, size) => {
      using rig = new Rig(mode);
      const { memory, container } = rig;
      const { domain } = container;
      const vaddr = memory.mmap(size, size);
      memory.write(vaddr + size - PAGE, Uint8Array.of(1, 2, 3));
      container.mapDma({ iova: IOVA, vaddr, size });
      expect(domain.leafSizeAt(IOVA)).toBe(mode === 'iommufd_compat_type1' ? PAGE : size);
      expect(rig.nic.dma.read(IOVA + size - PAGE, 3)).toEqual(Uint8Array.of(1, 2, 3));
      expect(domain.iovaToPhys(IOVA + size - 1)).toBe(domain.iovaToPhys(IOVA) + size - 1);
      expect(container.unmapDma({ iova: IOVA, size })).toBe(size);
      expect(domain.iovaToPhys(IOVA)).toBe(0);
      expect(domain.leafSizeAt(IOVA)).toBe(0);
      memory.munmap(vaddr);
    });
  });
});

describe('vfio_dma_map_limit_test', () => {
  describe.each(IOMMU_MODES)('%s', (mode) => {
    const lastPage = (container: VfioContainer): number => container.iovaRanges.at(-1)!.end + 1 - PAGE;

    test('unmap_range', () => {
      using rig = new Rig(mode);
      const vaddr = rig.memory.mmap(PAGE);
      const iova = lastPage(rig.container);
      rig.container.mapDma({ iova, vaddr, size: PAGE });
      expect(rig.container.domain.iovaToPhys(iova)).not.toBe(0);
      expect(rig.container.unmapDma({ iova, size: PAGE })).toBe(PAGE);
      rig.memory.munmap(vaddr);
    });

    test('unmap_all', () => {
      using rig = new Rig(mode);
      const vaddr = rig.memory.mmap(PAGE);
      rig.container.mapDma({ iova: lastPage(rig.container), vaddr, size: PAGE });
      expect(rig.container.unmapDma('all')).toBe(PAGE);
      expect(rig.container.domain.mappedPages).toBe(0);
      rig.memory.munmap(vaddr);
    });

    test('overflow', () => {
      using rig = new Rig(mode);
      const vaddr = rig.memory.mmap(2 * PAGE);
      const iova = 2n ** 64n - BigInt(PAGE);
      expect(() => rig.container.mapDma({ iova, vaddr, size: 2 * PAGE })).toThrow(errno('EOVERFLOW'));
      expect(() => rig.container.unmapDma({ iova, size: 2 * PAGE })).toThrow(errno('EOVERFLOW'));
      rig.memory.munmap(vaddr);
    });
  });
});

describe('vfio_dma_mapping_mmio_test', () => {
  describe.each(IOMMU_MODES)('%s', (mode) => {
    /** Maps the CPU's mapping of the largest BAR, or part of it, and unmaps it: what both ended with. */
    const mapBar = (rig: Rig, iova: number, length?: number): [map: string, unmap: number | string] => {
      const bar = rig.nic.bars.filter(({ isMemory }) => isMemory).toSorted((x, y) => y.size - x.size)[0]!;
      const vaddr = rig.memory.mmapDevice(bar.start, bar.size);
      const request = { iova, vaddr, size: length ?? bar.size };
      const mapped = outcome(() => {
        rig.container.mapDma(request);
        return rig.container.domain.iovaToPhys(iova) === bar.start ? 'mapped' : 'elsewhere';
      });
      const unmapped = outcome(() => rig.container.unmapDma(request) / request.size);
      rig.memory.munmap(vaddr);
      return [mapped, unmapped];
    };
    const expected = isIommufd(mode) ? ['EFAULT', mode === 'iommufd' ? 'ENOENT' : 0] : ['mapped', 1];

    test('map_full_bar', () => {
      using rig = new Rig(mode);
      expect(mapBar(rig, 2 * GIB)).toEqual(expected);
    });

    test('map_partial_bar', () => {
      using rig = new Rig(mode);
      expect(mapBar(rig, 2 * GIB, PAGE)).toEqual(expected);
    });

    test('map_bar_misaligned', () => {
      using rig = new Rig(mode);
      expect(mapBar(rig, 2 * GIB + PAGE)).toEqual(expected);
    });
  });
});

describe('vfio_pci_driver_test', () => {
  const SIZE = MIB;
  const [SOURCE, TARGET, UNMAPPED] = [0x10_0000_0000, 0x20_0000_0000, 0x30_0000_0000];

  /** A device whose engine copies, with an interrupt that only `sendMsi` raises. */
  class Driver extends Rig {
    readonly source = this.memory.mmap(SIZE);
    readonly target = this.memory.mmap(SIZE);

    init(): void {
      this.nic.config.busMaster = true;
      this.nic.interrupts.enable('msi', 1);
      this.container.mapDma({ iova: SOURCE, vaddr: this.source, size: SIZE });
      this.container.mapDma({ iova: TARGET, vaddr: this.target, size: SIZE });
    }

    remove(): void {
      this.nic.interrupts.disable();
      assert.equal(this.container.unmapDma('all'), 2 * SIZE);
    }

    /** Copies and compares. */
    memcpy(seed: number): void {
      const bytes = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31 + seed) & 0xff);
      this.memory.write(this.source, bytes);
      this.nic.dma.copy(TARGET, SOURCE, SIZE);
      assert.equal(Buffer.compare(this.memory.read(this.target, SIZE), bytes), 0);
    }

    /** An access of addresses that are not mapped: it fails, and the device is as it was. */
    badCopy(to: number, from: number): void {
      assert.throws(() => this.nic.dma.copy(to, from, SIZE), DmaFault);
    }

    get msis(): number {
      return this.nic.interrupts.received(0);
    }

    sendMsi(): void {
      const before = this.msis;
      assert.equal(this.nic.interrupts.trigger(0), true);
      assert.equal(this.msis, before + 1);
    }

    override [Symbol.dispose](): void {
      for (const vaddr of [this.source, this.target]) this.memory.munmap(vaddr);
      super[Symbol.dispose]();
    }
  }

  const driver = (): Driver => new Driver('vfio_type1v2_iommu');

  test('init_remove', () => {
    using rig = driver();
    for (let i = 0; i < 10; i++) {
      rig.init();
      rig.remove();
    }
    expect(rig.container.domain.mappedPages).toBe(0);
  });

  test('memcpy_success', () => {
    using rig = driver();
    rig.init();
    rig.memcpy(1);
    expect(rig.msis).toBe(0);
    rig.remove();
  });

  test('memcpy_from_unmapped_iova', () => {
    using rig = driver();
    rig.init();
    rig.badCopy(TARGET, UNMAPPED);
    expect(rig.msis).toBe(0);
    rig.remove();
  });

  test('memcpy_to_unmapped_iova', () => {
    using rig = driver();
    rig.init();
    rig.badCopy(UNMAPPED, SOURCE);
    expect(rig.msis).toBe(0);
    rig.remove();
  });

  test('mix_and_match', () => {
    using rig = driver();
    rig.init();
    for (let i = 0; i < 10; i++) {
      rig.memcpy(i);
      rig.badCopy(TARGET, UNMAPPED);
      rig.sendMsi();
    }
    expect(rig.msis).toBe(10);
    rig.remove();
  });

  test('memcpy_storm', () => {
    using rig = driver();
    rig.init();
    rig.memcpy(7);
    for (let i = 0; i < 256; i++) rig.nic.dma.copy(TARGET, SOURCE, SIZE);
    expect(rig.msis).toBe(0);
    rig.remove();
  });
});

describe('what the modes do differently', () => {
  test.each([
    ['vfio_type1_iommu', 0],
    ['iommufd_compat_type1v2', 0],
  ] as const)('%s: an unmap where nothing is, is nothing', (mode, bytes) => {
    using rig = new Rig(mode);
    expect(rig.container.unmapDma({ iova: IOVA, size: PAGE })).toBe(bytes);
  });

  test('Type1 takes whole mappings that begin in the range; Type1v2 refuses to cut one', () => {
    for (const [mode, expected] of [
      ['vfio_type1_iommu', 4 * PAGE],
      ['vfio_type1v2_iommu', 'EINVAL'],
    ] as const) {
      using rig = new Rig(mode);
      const vaddr = rig.memory.mmap(4 * PAGE);
      rig.container.mapDma({ iova: IOVA, vaddr, size: 4 * PAGE });
      const unmap = (iova: number, size: number): number => rig.container.unmapDma({ iova, size });
      if (expected === 'EINVAL') {
        expect(() => unmap(IOVA, PAGE)).toThrow(errno(expected));
        expect(() => unmap(IOVA + PAGE, 4 * PAGE)).toThrow(errno(expected));
      } else {
        expect(unmap(IOVA + PAGE, 4 * PAGE)).toBe(0);
        expect(unmap(IOVA, PAGE)).toBe(expected);
      }
      rig.memory.munmap(vaddr);
    }
  });

  test.each(IOMMU_MODES)('%s: bad requests', (mode) => {
    using rig = new Rig(mode);
    const vaddr = rig.memory.mmap(4 * PAGE);
    const map =
      (request: object): (() => void) =>
      () =>
        rig.container.mapDma({ iova: IOVA, vaddr, size: PAGE, ...request });
    expect(map({ read: false, write: false })).toThrow(errno('EINVAL'));
    expect(map({ size: 0 })).toThrow(errno('EINVAL'));
    expect(map({ size: PAGE + 1 })).toThrow(errno('EINVAL'));
    expect(map({ iova: IOVA + 1 })).toThrow(errno('EINVAL'));
    expect(map({ iova: 0xfee0_0000 })).toThrow(errno('EINVAL'));
    expect(map({ vaddr: vaddr - 8 * PAGE })).toThrow(errno('EFAULT'));
    expect(map({ vaddr: vaddr + 3 * PAGE, size: 2 * PAGE })).toThrow(errno('EFAULT'));
    expect(map({ iova: -1 })).toThrow(KernelError);
    expect(rig.container.domain.mappedPages).toBe(0);
    map({})();
    expect(map({})).toThrow(errno('EEXIST'));
    expect(rig.container.domain.mappedPages).toBe(1);
    rig.memory.munmap(vaddr);
  });

  test('what is unmapped by the program stays until the container lets go', () => {
    using rig = new Rig('iommufd');
    const vaddr = rig.memory.mmap(PAGE);
    rig.memory.write(vaddr, Uint8Array.of(9));
    rig.container.mapDma({ iova: IOVA, vaddr, size: PAGE });
    rig.memory.munmap(vaddr);
    expect(() => rig.memory.read(vaddr, 1)).toThrow(errno('EFAULT'));
    expect(rig.nic.dma.read(IOVA, 1)).toEqual(Uint8Array.of(9));
  });

  test.each(IOMMU_MODES)('%s: what a dead task had mapped is reached by its device no longer', (mode) => {
    using machine = testMachine();
    registerImporters(machine);
    const pci = PciSystem.create(machine, { topology: builtinMachine('genoa-4gpu') });
    const other = Machine.join(machine.handle, { name: 'driver' });
    const memory = new UserMemory(other);
    const container = VfioContainer.open(other, mode, PciSystem.of(other).function(NIC));
    container.mapDma({ iova: IOVA, vaddr: memory.mmap(PAGE), size: PAGE });
    const nic = pci.function(NIC);
    expect(nic.dma.tryWrite(IOVA, Uint8Array.of(1))).toBe(1);
    machine.reap(other.tid);
    expect(() => nic.dma.write(IOVA, Uint8Array.of(2))).toThrow(/iommu-fault.*not mapped/u);
    expect(pci.memory.ram.usedPages).toBe(0);
    expect(machine.verify()).toMatchObject({ errors: [], leaks: [] });
  });

  test('every failed allocation leaves nothing behind', () => {
    for (const mode of ['vfio_type1v2_iommu', 'iommufd'] as const) {
      using rig = new Rig(mode);
      const vaddr = rig.memory.mmap(4 * PAGE);
      const { faults } = rig.machine;
      let failures = 0;
      for (let n = 1; ; n++) {
        faults.failNth(n);
        try {
          rig.container.mapDma({ iova: IOVA, vaddr, size: 4 * PAGE });
          break;
        } catch (error) {
          expect(error).toEqual(errno('ENOMEM'));
          expect(rig.container.domain.mappedPages).toBe(0);
          failures++;
        } finally {
          faults.off();
        }
      }
      expect(failures).toBeGreaterThan(2);
      rig.memory.munmap(vaddr);
    }
  });
});
