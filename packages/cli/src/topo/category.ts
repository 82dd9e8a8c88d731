import type { TopologyFunction } from '@dmabuf-emu/pci-iommu';

/** What people look for in a machine when they ask who reaches whom. */
export const CATEGORIES = ['gpu', 'nic', 'nvme', 'accel'] as const;
export type Category = (typeof CATEGORIES)[number];

const ASPEED = 0x1a03;
const MATROX = 0x102b;
const XILINX = 0x10ee;
const ALTERA = 0x1172;
const BRIDGE_BASE = 0x06;
const CATEGORY_OF_CLASS: ReadonlyMap<number, Category> = new Map<number, Category>([
  [0x0300, 'gpu'],
  [0x0302, 'gpu'],
  [0x0380, 'gpu'],
  [0x0200, 'nic'],
  [0x0207, 'nic'],
  [0x0280, 'nic'],
  [0x0108, 'nvme'],
  [0x0b40, 'accel'],
  [0x1200, 'accel'],
]);

/** The category of a function, or `null`: by its class, and by the vendor where the class misleads. */
export function categoryOf(fn: TopologyFunction): Category | null {
  if (fn.isBridge || fn.kind === 'host-bridge') return null;
  if (fn.vendor === ASPEED || fn.vendor === MATROX) return null;
  const category = fn.classCode === null ? undefined : CATEGORY_OF_CLASS.get(fn.classCode >>> 8);
  if (category !== undefined) return category;
  const programmable = fn.vendor === XILINX || fn.vendor === ALTERA;
  return programmable && fn.classCode !== null && fn.classCode >>> 16 !== BRIDGE_BASE ? 'accel' : null;
}

/** Whether a function is the end of a path: what is neither bridge nor host bridge. */
export function isEndpoint(fn: TopologyFunction): boolean {
  return !fn.isBridge && fn.kind !== 'host-bridge' && fn.kind !== 'rc-event-collector';
}
