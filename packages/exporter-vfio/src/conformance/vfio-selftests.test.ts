import {
  encodeIrqSet,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_IRQ_SET_ACTION_TRIGGER as TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD as EVENTFD,
  VFIO_IRQ_SET_DATA_NONE as NONE,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_REGION_INFO_FLAG_MMAP,
  VfioDevice,
} from '@dmabuf-emu/exporter-vfio';
import { IommuProt, PciCommand, PciSystem, Reg } from '@dmabuf-emu/pci-iommu';
import { isKernelError } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import type { CopyJob } from '../testing/copy-engine.test-worker.ts';
import { irqRig } from '../testing/irq-rig.fixture.ts';
import { errno } from '../testing/rig.fixture.ts';
import { BDF, TEST_TOPOLOGY } from '../testing/topology.fixture.ts';

const copyEngine = new URL(import.meta.resolve('#dist/testing/copy-engine.test-worker.js'));
const MAX_TEST_MSI = 16;

// drivers §9.1: tools/testing/selftests/vfio
describe('vfio_pci_device_test', () => {
  test('config_space_read_write', () => {
    using r = irqRig();
    const { config } = r.dut;
    expect([config.read(0, 2), config.read(2, 2)]).toEqual([r.fn.vendorId, r.fn.deviceId]);
    const command = (): number => config.read(Reg.COMMAND, 2);
    expect(command() & PciCommand.MASTER).toBe(0);
    config.write(Reg.COMMAND, 2, command() | PciCommand.MASTER);
    expect(command() & PciCommand.MASTER).toBe(PciCommand.MASTER);
    config.write(Reg.COMMAND, 2, command() & ~PciCommand.MASTER);
    expect(command() & PciCommand.MASTER).toBe(0);
  });

  test('validate_bars', () => {
    using r = irqRig();
    const mapped = [0, 1, 2, 3, 4, 5].filter((index) => {
      const { flags, size } = r.dut.regionInfo(index);
      if ((flags & VFIO_REGION_INFO_FLAG_MMAP) === 0) return false;
      expect(size).toBeGreaterThan(0);
      expect(r.dut.readBar(index, size - 1, 1)).toHaveLength(1);
      return true;
    });
    expect(mapped).toEqual([0, 2]);
    expect([1, 4].map((index) => r.dut.regionInfo(index).size)).toEqual([0, 128]);
  });

  test('reset', () => {
    using r = irqRig();
    expect(r.dut.info().flags & VFIO_DEVICE_FLAGS_RESET).not.toBe(0);
    r.dut.reset();
    using stuck = irqRig({}, BDF.STUCK);
    expect(stuck.dut.info().flags & VFIO_DEVICE_FLAGS_RESET).toBe(0);
  });
});

describe('vfio_pci_irq_test', () => {
  test.each([
    ['msi', VFIO_PCI_MSI_IRQ_INDEX],
    ['msix', VFIO_PCI_MSIX_IRQ_INDEX],
  ])('enable_trigger_disable, %s', (_name, index) => {
    using r = irqRig();
    const count = Math.min(r.dut.irqInfo(index).count, MAX_TEST_MSI);
    expect(count).toBeGreaterThan(0);
    const fds = Array.from({ length: count }, () => r.eventfd());
    r.dut.setIrqs(encodeIrqSet({ index, flags: EVENTFD | TRIGGER, fds }));
    fds.forEach((fd, vector) => {
      expect(() => r.read(fd)).toThrow(errno('EAGAIN'));
      r.dut.setIrqs(encodeIrqSet({ index, flags: NONE | TRIGGER, start: vector, count: 1 }));
      expect(r.read(fd)).toBe(1n);
    });
    r.dut.setIrqs(encodeIrqSet({ index, flags: NONE | TRIGGER }));
    expect(r.fn.interrupts.kind).toBe('none');
  });
});

describe('vfio_pci_driver_test', () => {
  test.each([
    ['msi', VFIO_PCI_MSI_IRQ_INDEX],
    ['msix', VFIO_PCI_MSIX_IRQ_INDEX],
  ])('send_msi, %s', async (_name, index) => {
    using r = irqRig();
    const { memory } = r.pci;
    const bytes = 0x1000;
    const pages = [memory.allocPages(1), memory.allocPages(1)];
    const iovas = pages.map((page) => {
      const iova = r.fn.iommu.iovaAlloc(bytes);
      r.fn.iommu.map(iova, page, bytes, IommuProt.READ | IommuProt.WRITE);
      return iova;
    });
    memory.cpuFill(pages[0]!, 0x5a, bytes);
    const fd = r.eventfd();
    r.dut.setIrqs(encodeIrqSet({ index, flags: EVENTFD | TRIGGER, fds: [fd] }));
    r.dut.command.busMaster = true;
    expect(() => r.read(fd)).toThrow(errno('EAGAIN'));
    const job: CopyJob = { fn: BDF.DUT, dst: iovas[1]!, src: iovas[0]!, bytes, vector: 0 };
    const engine = startTestWorker<boolean>(copyEngine, r.machine, job, 'engine');
    expect(r.fn.interrupts.wait(0, { timeoutMs: 10_000 })).toBe(true);
    expect(memory.cpuRead(pages[1]!, bytes)).toEqual(memory.cpuRead(pages[0]!, bytes));
    expect(await engine.result).toBe(true);
    expect(r.read(fd)).toBe(1n);
    pages.forEach((page, i) => {
      r.fn.iommu.unmap(iovas[i]!, bytes);
      r.fn.iommu.iovaFree(iovas[i]!, bytes);
      memory.freePages(page, 1);
    });
  });
});

describe('vfio_pci_sriov_uapi_test', () => {
  const TOKEN = '52ac9bff-3a88-4fbd-901a-0d767c3b6c97';
  const OTHER = '88594674-90a0-47a9-aea8-9d9b352ac08a';

  function setToken(device: VfioDevice, uuid: string): void {
    const bytes = new Uint8Array(24);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 24, true);
    view.setUint32(4, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, true);
    bytes.set(Buffer.from(uuid.replaceAll('-', ''), 'hex'), 8);
    device.feature(bytes);
  }

  /** How opening the virtual function with a token ends. */
  function openVf(machine: Parameters<typeof VfioDevice.open>[0], vfToken: string | undefined): string {
    try {
      VfioDevice.open(machine, BDF.VF, vfToken === undefined ? {} : { vfToken }).close();
      return 'opened';
    } catch (error) {
      if (isKernelError(error)) return error.code;
      throw error;
    }
  }

  describe.each([
    ['same', TOKEN],
    ['diff', OTHER],
    ['null', undefined],
  ])('%s', (_name, vfToken) => {
    test('init_token_match', () => {
      using machine = testMachine();
      PciSystem.create(machine, { topology: TEST_TOPOLOGY });
      const pf = VfioDevice.open(machine, BDF.PF, { vfToken: TOKEN });
      expect(openVf(machine, vfToken)).toBe(vfToken === TOKEN ? 'opened' : 'EACCES');
      pf.close();
    });

    test('pf_early_close', () => {
      using machine = testMachine();
      PciSystem.create(machine, { topology: TEST_TOPOLOGY });
      VfioDevice.open(machine, BDF.PF, { vfToken: TOKEN }).close();
      expect(openVf(machine, vfToken)).toBe(vfToken === TOKEN ? 'opened' : 'EACCES');
    });

    test('override_token', () => {
      using machine = testMachine();
      PciSystem.create(machine, { topology: TEST_TOPOLOGY });
      const pf = VfioDevice.open(machine, BDF.PF, { vfToken: TOKEN });
      setToken(pf, OTHER);
      expect(openVf(machine, vfToken)).toBe(vfToken === OTHER ? 'opened' : 'EACCES');
      pf.close();
    });
  });

  test('tokens where none belongs, and while virtual functions are open', () => {
    using machine = testMachine();
    PciSystem.create(machine, { topology: TEST_TOPOLOGY });
    expect(() => VfioDevice.open(machine, BDF.DUT, { vfToken: TOKEN })).toThrow(errno('EINVAL'));
    const dut = VfioDevice.open(machine, BDF.DUT);
    expect(() => setToken(dut, TOKEN)).toThrow(errno('ENOTTY'));
    const pf = VfioDevice.open(machine, BDF.PF, { vfToken: TOKEN });
    const vf = VfioDevice.open(machine, BDF.VF, { vfToken: TOKEN });
    pf.close();
    expect(() => VfioDevice.open(machine, BDF.PF)).toThrow(errno('EACCES'));
    expect(() => VfioDevice.open(machine, BDF.PF, { vfToken: OTHER })).toThrow(errno('EACCES'));
    VfioDevice.open(machine, BDF.PF, { vfToken: TOKEN }).close();
    vf.close();
    VfioDevice.open(machine, BDF.PF).close();
    dut.close();
  });

  test('a virtual function that was bound without its physical function needs none', () => {
    using machine = testMachine();
    PciSystem.create(machine, { topology: TEST_TOPOLOGY });
    expect(() => VfioDevice.open(machine, BDF.VF, { vfToken: TOKEN })).toThrow(errno('EINVAL'));
    VfioDevice.open(machine, BDF.VF).close();
  });
});
