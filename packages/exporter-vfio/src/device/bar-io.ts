import { PAGE_SIZE, PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError } from '@dmabuf-emu/shm';
import { claimBar } from './bar-claim.ts';
import { memoryEnabled } from './memory-enabled.ts';
import type { OpenDevice } from './open-device.ts';

/** Index of the ROM's region, behind the six BARs; of configuration space. @kernel VFIO_PCI_ROM_REGION_INDEX */
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;

/**
 * Reads from a BAR as the user's read(2) does; returns the bytes before the BAR's end.
 * @kernel vfio_pci_bar_rw
 * @locks takes vfio.memory_lock for reading, a page at a time
 * @throws KernelError EINVAL for a region that cannot be read or an offset behind its end, EIO while memory is disabled
 */
export function readBar(device: OpenDevice, region: number, offset: number, length: number): Uint8Array {
  const { memory } = PciSystem.of(device.core.machine);
  const range = clip(device, region, offset, length);
  const bytes = new Uint8Array(range.length);
  eachPage(device, range, (paddr, i, count) => bytes.set(memory.cpuRead(paddr, count), i));
  return bytes;
}

/** Writes to a BAR; returns how many bytes came before its end. @kernel vfio_pci_bar_rw @locks, @throws as {@link readBar}; ENOMEM */
export function writeBar(device: OpenDevice, region: number, offset: number, bytes: Uint8Array): number {
  const { memory } = PciSystem.of(device.core.machine);
  const range = clip(device, region, offset, bytes.length);
  eachPage(device, range, (paddr, i, count) => memory.cpuWrite(paddr, bytes.subarray(i, i + count)));
  return range.length;
}

interface PhysicalRange {
  readonly paddr: number;
  readonly length: number;
  /** Nothing is emulated behind I/O ports: they read as 0 and swallow writes, memory enabled or not. */
  readonly ports: boolean;
}

function clip(device: OpenDevice, region: number, offset: number, length: number): PhysicalRange {
  device.check('vfio_pci_bar_rw');
  const bar = region < VFIO_PCI_ROM_REGION_INDEX ? device.core.bar(region) : undefined;
  if (bar === undefined || bar.start === 0 || !Number.isInteger(offset) || offset < 0 || offset >= bar.size) {
    const what = bar === undefined ? 'is no BAR of this device' : `has ${bar.size} bytes`;
    throw new KernelError('EINVAL', 'vfio_pci_bar_rw', `offset ${offset} of region ${region}, which ${what}`);
  }
  const failure = claimBar(device.core, region);
  if (failure !== undefined) throw failure;
  return { paddr: bar.start + offset, length: Math.min(length, bar.size - offset), ports: bar.kind === 'io' };
}

/** Runs `move` for each page that the range touches, every time asking whether memory is still enabled. */
function eachPage(
  device: OpenDevice,
  { paddr, length, ports }: PhysicalRange,
  move: (paddr: number, i: number, count: number) => void,
): void {
  const { core } = device;
  if (ports) return;
  for (let i = 0; i < length;) {
    const count = Math.min(length - i, PAGE_SIZE - ((paddr + i) % PAGE_SIZE));
    const at = i;
    core.memoryLock.read(() => {
      device.check('vfio_pci_bar_rw');
      if (!memoryEnabled(core)) {
        throw new KernelError('EIO', 'vfio_pci_core_do_io_rw', `memory of ${core.fn.bdf} is disabled`);
      }
      move(paddr + at, at, count);
    });
    i += count;
  }
}
