import { DmaBuf, RevocableExport } from '@dmabuf-emu/core';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import { claimBar } from '../device/bar-claim.ts';
import { VFIO_PCI_ROM_REGION_INDEX } from '../device/bar-io.ts';
import { mayUnrevoke } from '../device/memory-enabled.ts';
import type { OpenDevice } from '../device/open-device.ts';
import { putRegistration, tryGetRegistration } from '../device/registration.ts';
import type { VfioCore } from '../device/vfio-core.ts';
import { VFIO_QUIRKS } from '../quirks.ts';
import { link } from './device-list.ts';
import { VfioDmaBufStruct as D } from './dma-buf-struct.ts';
import { ExportedBuffer } from './exported-buffer.ts';
import { vfioPciDriver } from './exporter-ops.ts';
import { allocRanges, checkRangeCount, writeRanges } from './range-array.ts';
import { type DmaRange, rangesInBar, validateRanges } from './ranges.ts';

/** What is to be exported; the ranges are only looked at once the rest was found good. */
export interface ExportRequest {
  readonly region: number;
  readonly openFlags: number;
  readonly flags: number;
  readonly count: number;
  readonly ranges: () => readonly DmaRange[];
}

/**
 * Makes a buffer over parts of a BAR; the caller owns its one reference. While the device's memory is disabled the buffer is
 * made all the same, revoked.
 * @kernel vfio_pci_core_feature_dma_buf
 * @locks takes vfio.memory_lock for writing, in it the buffer's resv
 * @throws KernelError EINVAL, ENODEV, EOVERFLOW, ENOMEM, ENFILE; EBADF when the device was closed meanwhile
 */
export function exportDmaBuf(device: OpenDevice, request: ExportRequest): DmaBuf {
  const { core } = device;
  device.check('vfio_pci_core_feature_dma_buf');
  checkFixedPart(core, request);
  checkRangeCount(request.count);
  const ranges = request.ranges();
  const size = Number(validateRanges(ranges));
  const buffer = makeBuffer(core, request.region, ranges, size);
  const dmabuf = orUndo(
    () => {
      if (!tryGetRegistration(core)) {
        throw new KernelError('ENODEV', 'vfio_device_try_get_registration', `${core.fn.bdf} is being unbound`);
      }
      return orUndo(
        () => exportBuffer(core, buffer, size, request.openFlags),
        () => putRegistration(core),
      );
    },
    () => buffer.free(),
  );
  orUndo(
    () => publish(device, buffer, dmabuf),
    () => dmabuf.put(),
  );
  return dmabuf;
}

function checkFixedPart(core: VfioCore, { region, flags, count }: ExportRequest): void {
  if (count === 0 || flags !== 0) {
    throw new KernelError('EINVAL', 'vfio_pci_core_feature_dma_buf', `${count} ranges (1 or more), flags ${flags} (0)`);
  }
  if (!(region >= 0 && region < VFIO_PCI_ROM_REGION_INDEX)) {
    throw new KernelError('ENODEV', 'vfio_pci_core_feature_dma_buf', `region ${region} is no BAR`);
  }
  if (VFIO_QUIRKS.has(core.machine, 'vfio.noBarClaim')) return;
  const failure = claimBar(core, region);
  if (failure !== undefined) throw new KernelError('ENODEV', 'vfio_pci_core_feature_dma_buf', failure.message);
}

/** The exporter's side of the buffer, not yet visible to anybody. */
function makeBuffer(core: VfioCore, bar: number, ranges: readonly DmaRange[], size: number): ExportedBuffer {
  const { machine } = core;
  const { mem } = machine;
  const buffer = new ExportedBuffer(machine, machine.slab(D).alloc('vfio_pci_dma_buf'));
  orUndo(
    () => {
      D.size.set(mem, buffer.p, size);
      D.device.set(mem, buffer.p, core.fn.index + 1);
      D.bar.set(mem, buffer.p, bar);
      D.ownerTask.set(mem, buffer.p, machine.tid);
      D.nrRanges.set(mem, buffer.p, ranges.length);
      D.ranges.set(mem, buffer.p, allocRanges(machine, ranges.length));
      const provider = PciSystem.of(machine).p2p.provider(core.fn.topology, bar);
      if (provider === null) {
        throw new KernelError(
          'EINVAL',
          'pcim_p2pdma_provider',
          `BAR ${bar} of ${core.fn.bdf} cannot be a peer's target`,
        );
      }
      writeRanges(machine, D.ranges.get(mem, buffer.p), rangesInBar(ranges, provider.bar));
      RevocableExport.init(machine, buffer.p, D);
    },
    () => buffer.free(),
  );
  return buffer;
}

function exportBuffer({ machine }: VfioCore, buffer: ExportedBuffer, size: number, openFlags: number): DmaBuf {
  const info = { ops: vfioPciDriver, priv: buffer.ref, size, flags: openFlags, expName: 'vfio_pci_core' };
  const dmabuf = DmaBuf.export(machine, info);
  D.dmabuf.set(machine.mem, buffer.p, dmabuf.ref);
  return dmabuf;
}

/** From here on the buffer follows its device. */
function publish(device: OpenDevice, buffer: ExportedBuffer, dmabuf: DmaBuf): void {
  const { core } = device;
  device.writeLocked(false, () => {
    dmabuf.resv.with(() => {
      D.revoked.store(core.machine.mem, buffer.p, mayUnrevoke(core) ? 0 : 1);
      link(core, buffer);
    });
  });
}
