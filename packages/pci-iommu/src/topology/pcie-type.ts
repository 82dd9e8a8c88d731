/**
 * Device/port types of the PCIe capability, as in bits 7:4 of its flags register.
 *
 * @kernel PCI_EXP_TYPE_*
 */
export const PcieType = {
  Endpoint: 0,
  LegacyEndpoint: 1,
  RootPort: 4,
  UpstreamPort: 5,
  DownstreamPort: 6,
  PcieToPciBridge: 7,
  PciToPcieBridge: 8,
  RootComplexEndpoint: 9,
  RootComplexEventCollector: 10,
} as const;
export type PcieType = (typeof PcieType)[keyof typeof PcieType];

const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(PcieType));

/** Whether `value` is one of the defined device/port types. */
export function isPcieType(value: number): value is PcieType {
  return KNOWN_TYPES.has(value);
}

/** What a function is, in the words of a topology drawing. */
export const FUNCTION_KINDS = [
  'host-bridge',
  'root-port',
  'upstream-port',
  'downstream-port',
  'pcie-to-pci-bridge',
  'pci-to-pcie-bridge',
  'pci-bridge',
  'unknown-bridge',
  'endpoint',
  'legacy-endpoint',
  'rciep',
  'rc-event-collector',
  'vf',
  'pci-device',
  'unknown-device',
] as const;

/**
 * What a function is, in the words of a topology drawing.
 *
 * `pci-bridge` and `pci-device` have no PCIe capability; `unknown-bridge` and `unknown-device` come from listings that
 * do not show capabilities.
 */
export type FunctionKind = (typeof FUNCTION_KINDS)[number];

const BRIDGE_KINDS: ReadonlySet<FunctionKind> = new Set<FunctionKind>([
  'root-port',
  'upstream-port',
  'downstream-port',
  'pcie-to-pci-bridge',
  'pci-to-pcie-bridge',
  'pci-bridge',
  'unknown-bridge',
]);

/** Whether functions of this kind have a bus behind them. */
export function isBridgeKind(kind: FunctionKind): boolean {
  return BRIDGE_KINDS.has(kind);
}

const TYPE_OF_KIND: Readonly<Record<FunctionKind, PcieType | null | 'unknown'>> = {
  'host-bridge': null,
  'root-port': PcieType.RootPort,
  'upstream-port': PcieType.UpstreamPort,
  'downstream-port': PcieType.DownstreamPort,
  'pcie-to-pci-bridge': PcieType.PcieToPciBridge,
  'pci-to-pcie-bridge': PcieType.PciToPcieBridge,
  'pci-bridge': null,
  'unknown-bridge': 'unknown',
  endpoint: PcieType.Endpoint,
  'legacy-endpoint': PcieType.LegacyEndpoint,
  rciep: PcieType.RootComplexEndpoint,
  'rc-event-collector': PcieType.RootComplexEventCollector,
  vf: PcieType.Endpoint,
  'pci-device': null,
  'unknown-device': 'unknown',
};

/** The PCIe type that a kind has unless its description says otherwise; `null` for functions without the capability. */
export function pcieTypeOfKind(kind: FunctionKind): PcieType | null | 'unknown' {
  return TYPE_OF_KIND[kind];
}

const KIND_OF_TYPE: Readonly<Record<PcieType, FunctionKind>> = {
  [PcieType.Endpoint]: 'endpoint',
  [PcieType.LegacyEndpoint]: 'legacy-endpoint',
  [PcieType.RootPort]: 'root-port',
  [PcieType.UpstreamPort]: 'upstream-port',
  [PcieType.DownstreamPort]: 'downstream-port',
  [PcieType.PcieToPciBridge]: 'pcie-to-pci-bridge',
  [PcieType.PciToPcieBridge]: 'pci-to-pcie-bridge',
  [PcieType.RootComplexEndpoint]: 'rciep',
  [PcieType.RootComplexEventCollector]: 'rc-event-collector',
};

/** The kind that a PCIe type stands for. */
export function kindOfPcieType(type: PcieType): FunctionKind {
  return KIND_OF_TYPE[type];
}
