import { type DmaBuf, FdTable } from '@dmabuf-emu/core';
import { DmaHeap, exportUdmabuf, Memfd, prepareUdmabuf, registerHeaps, Seal } from '@dmabuf-emu/exporter-heap';
import { createImporter, type ImporterKind, registerImporters } from '@dmabuf-emu/importers';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { type Machine, Random } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

const BYTES = 64 * 4096;
const STEPS = 4;
const GPU = 'c1:00.0';
const NIC = '21:00.0';

const EXPORTERS = {
  system: (machine: Machine) => DmaHeap.find(machine, 'system')!.allocBuffer(BYTES),
  default_cma_region: (machine: Machine) => DmaHeap.find(machine, 'default_cma_region')!.allocBuffer(BYTES),
  udmabuf(machine: Machine): DmaBuf {
    const memfd = Memfd.create(machine, 'importers');
    memfd.truncate(BYTES);
    memfd.addSeals(Seal.SHRINK);
    return exportUdmabuf(machine, [{ memfd: memfd.fd(), offset: 0, size: BYTES }]);
  },
} satisfies Record<string, (machine: Machine) => DmaBuf>;

describe.each(Object.keys(EXPORTERS) as (keyof typeof EXPORTERS)[])('a buffer of %s', (exporter) => {
  it.each(['odp', 'revocable-pinned', 'pinned', 'static', 'gpu'] as const satisfies readonly ImporterKind[])(
    'is imported by %s, which finds every byte that it wrote',
    (kind) => {
      using machine = testMachine();
      const { session, pci, end } = imported(machine, exporter, kind);
      const results = Array.from({ length: STEPS }, () => session.step());
      expect(results.map(({ outcome }) => outcome)).toEqual(Array(STEPS).fill('ok'));
      expect(results.flatMap(({ mismatches }) => mismatches)).toEqual([]);
      session.detach();
      end();
      expect(pci.faults.list()).toEqual([]);
    },
  );

  it('is nothing for iommufd, which needs physical addresses', () => {
    using machine = testMachine();
    const { start, end } = importer(machine, exporter, 'iommufd');
    expect(start).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
    end();
  });
});

function importer(machine: Machine, exporter: keyof typeof EXPORTERS, kind: ImporterKind) {
  const pci = PciSystem.create(machine, { topology: 'genoa-4gpu' });
  registerHeaps(machine);
  prepareUdmabuf(machine);
  registerImporters(machine);
  const dmabuf = EXPORTERS[exporter](machine);
  const fn = pci.function(kind === 'gpu' ? GPU : NIC);
  const made = createImporter(kind, { machine, pci, fn, random: new Random(1), name: kind });
  const end = (): void => {
    dmabuf.put();
    FdTable.exit(machine);
  };
  return { pci, start: () => made.attach(dmabuf, { index: 0, count: 2 }), end };
}

function imported(machine: Machine, exporter: keyof typeof EXPORTERS, kind: ImporterKind) {
  const { start, ...rest } = importer(machine, exporter, kind);
  return { session: start(), ...rest };
}
