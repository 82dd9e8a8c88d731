import type { RawFunction } from '../lspci/raw-function.ts';
import { type FunctionKind, kindOfPcieType } from '../pcie-type.ts';

const HOST_BRIDGE_CLASS = 0x0600;
const PCI_BRIDGE_CLASS = 0x0604;

/** What a listed function is; virtual functions are recognised elsewhere. */
export function kindOf(fn: RawFunction): FunctionKind {
  const shortClass = fn.class === null ? null : fn.class >>> 8;
  // What a header with bus numbers says wins: some root ports call themselves host bridges.
  const hasBuses = fn.bus !== null || fn.headerType === 1;
  if (shortClass === HOST_BRIDGE_CLASS && !hasBuses) return 'host-bridge';
  if (fn.pcieType !== null && fn.pcieType !== 'unknown') return kindOfPcieType(fn.pcieType);
  const isBridge = hasBuses || shortClass === PCI_BRIDGE_CLASS;
  if (fn.pcieType === null) return isBridge ? 'pci-bridge' : 'pci-device';
  return isBridge ? 'unknown-bridge' : 'unknown-device';
}

/** Kinds that stand on root buses only. */
const ROOT_KINDS: ReadonlySet<FunctionKind> = new Set<FunctionKind>([
  'host-bridge',
  'root-port',
  'rciep',
  'rc-event-collector',
]);

/** Whether a function of this kind shows that its bus is a root bus. */
export function isRootKind(kind: FunctionKind): boolean {
  return ROOT_KINDS.has(kind);
}
