import type { Machine } from '@dmabuf-emu/shm';
import { PciSystem } from '../system/pci-system.ts';
import type { FunctionDescription } from '../topology/index.ts';
import { testBar, testBridge, testFunction, testMachine } from '../topology/test-machine.ts';

export const NIC = '0000:01:00.0';
export const PEER = '0000:02:00.0';
export const TABLE = 0x38_0000_2000;
export const PENDING = 0x38_0000_3000;

const MSI = { vectors: 8, wide: true, maskable: true };
const MSIX = { vectors: 40, bar: 0, offset: 0x2000, pbaBar: 0, pbaOffset: 0x3000 };

/** A NIC with MSI and MSI-X (40 vectors, table in its BAR), and another device that can write to it. */
export function interruptSystem(machine: Machine, more: Partial<FunctionDescription> = {}, iommu = false): PciSystem {
  const bars = [testBar(0x38_0000_0000, 2 ** 20)];
  return PciSystem.create(machine, {
    iommu,
    topology: testMachine([
      testBridge('0000:00:01.0', 'root-port', [1, 1]),
      testFunction(NIC, 'endpoint', { flr: true, pm: true, bars, msi: MSI, msix: MSIX, ...more }),
      testBridge('0000:00:02.0', 'root-port', [2, 2]),
      testFunction(PEER, 'endpoint', { flr: true, bars: [testBar(0x39_0000_0000, 2 ** 20)] }),
    ]),
  });
}
