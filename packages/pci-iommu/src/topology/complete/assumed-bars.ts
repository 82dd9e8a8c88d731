import type { BarDescription, BridgeWindowKind } from '../description/machine-description.ts';
import { deviceName, vendorName } from '../pci-ids/device-names.ts';
import type { TopologyFunction } from '../tree/topology-function.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;

/** Shape of a BAR that has no address yet. */
export type BarShape = Pick<BarDescription, 'index' | 'size' | 'kind' | 'prefetchable'>;

const GPU_BARS: readonly BarShape[] = [
  { index: 0, size: 256 * MIB, kind: 'mem64', prefetchable: true },
  { index: 2, size: 16 * MIB, kind: 'mem32', prefetchable: false },
];
const NIC_BARS: readonly BarShape[] = [{ index: 0, size: 32 * MIB, kind: 'mem64', prefetchable: true }];
const NVME_BARS: readonly BarShape[] = [{ index: 0, size: 16 * KIB, kind: 'mem64', prefetchable: false }];
const OTHER_BARS: readonly BarShape[] = [{ index: 0, size: 64 * KIB, kind: 'mem64', prefetchable: false }];

const BaseClass = { Network: 0x02, Display: 0x03, Bridge: 0x06, Instrumentation: 0x13, Accelerator: 0x12 } as const;
const CLASS_NVME = 0x0108;
const CLASS_COPROCESSOR = 0x0b40;

/** The memory BARs that a function is taken to have when its own are not known: by class, else by name; none for bridges. */
export function assumedBars(fn: TopologyFunction): readonly BarShape[] {
  if (fn.isBridge || fn.kind === 'host-bridge' || fn.kind === 'rc-event-collector') return [];
  const { classCode } = fn;
  if (classCode === null) return barsByName(fn);
  const short = classCode >>> 8;
  if (short === CLASS_NVME) return NVME_BARS;
  if (short === CLASS_COPROCESSOR) return GPU_BARS;
  switch (classCode >>> 16) {
    case BaseClass.Display:
    case BaseClass.Accelerator:
      return GPU_BARS;
    case BaseClass.Network:
      return NIC_BARS;
    case BaseClass.Bridge:
    case BaseClass.Instrumentation:
      return [];
    default:
      return OTHER_BARS;
  }
}

const NAMED: readonly (readonly [name: RegExp, bars: readonly BarShape[]])[] = [
  [/Host Bridge|Root Complex|IOMMU|Dummy|Data Fabric|PCIe Bridge|ISA|LPC/iu, []],
  [/Audio|USB|UCSI|SATA|SMBus|Serial/iu, OTHER_BARS],
  [/NVMe|SSD|Non-Volatile/iu, NVME_BARS],
  [/Ethernet|ConnectX|InfiniBand|Wi-Fi|Wireless|Network/iu, NIC_BARS],
  [/GeForce|RTX|Quadro|Tesla|Radeon|Instinct|Graphics|NVIDIA/iu, GPU_BARS],
];

/** What the name in the list of PCI IDs suggests, for sources without classes such as drawings. */
function barsByName({ vendor, device }: TopologyFunction): readonly BarShape[] {
  const name = `${vendorName(vendor) ?? ''} ${deviceName(vendor, device) ?? ''}`;
  return NAMED.find(([pattern]) => pattern.test(name))?.[1] ?? OTHER_BARS;
}

/** The bridge window that a memory BAR has to be in: only prefetchable 64-bit BARs may be above 4 GiB behind a bridge. */
export function windowKindOf(bar: Pick<BarShape, 'kind' | 'prefetchable'>): BridgeWindowKind {
  if (bar.kind === 'io') return 'io';
  return bar.kind === 'mem64' && bar.prefetchable ? 'prefetch' : 'mem';
}
