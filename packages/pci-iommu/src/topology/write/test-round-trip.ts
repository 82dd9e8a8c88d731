import {
  configBytesOf,
  describeConfig,
  type FunctionDescription,
  type MachineDescription,
  readMachine,
  stringifyLspci,
  Topology,
  type TopologyFunction,
} from '../../index.ts';

/** A fact of a description that the text of `lspci` has no words for, and what is read in its place. */
interface Loss {
  readonly what: string;
  readonly read: (fn: FunctionDescription, built: TopologyFunction, hex: boolean) => Readonly<Record<string, unknown>>;
}

/** Everything that is lost between a machine and its text, with or without bytes. */
export const LOSSES: readonly Loss[] = [
  { what: 'labels and parents', read: () => ({ name: undefined, parent: undefined }) },
  {
    what: 'command bits without a word in the reader, and whether they were told at all',
    read: ({ command = 0x6 }, _built, hex) => ({ command: hex ? command : command & 0x407 }),
  },
  {
    what: 'the multi-function bit, without bytes',
    read: (fn, built, hex) => ({
      multifunction: hex && knownBytes(fn) > 0 ? built.multifunction : undefined,
    }),
  },
  {
    what: 'that translation services are not told: listed capabilities are all',
    read: (fn) => ({ ats: isOpen(fn) && fn.ats !== true ? undefined : fn.ats === true }),
  },
  {
    what: 'extended capabilities without PCI Express, where there can be none',
    read: ({ kind, pcieType }) =>
      isConventional(kind, pcieType)
        ? { acs: null, acsListed: undefined, acsControlIfAny: undefined, ats: false, sriov: undefined }
        : {},
  },
  {
    what: 'that a function of unknown type has no ACS',
    read: ({ kind, pcieType, acs }) => (isUnknown(kind, pcieType) && acs === null ? { acs: 'unknown' } : {}),
  },
  {
    what: 'function level reset of a function whose capabilities are not known',
    read: ({ flr, kind, pcieType }) => ({ flr: flr && !isUnknown(kind, pcieType) }),
  },
  {
    what: 'the device id of VFs, when it is not known',
    read: ({ sriov }) => (sriov === undefined ? {} : { sriov: { ...sriov, vfDevice: sriov.vfDevice ?? 0 } }),
  },
  {
    what: 'windows at address 0, which stand for registers that nobody wrote',
    read: ({ windows = [] }) => ({ windows: listOrNothing(windows.filter((window) => window.start > 0)) }),
  },
  {
    what: 'that numbers of BARs were assumed',
    read: ({ bars }) => ({
      bars: bars.map((bar) => ({
        ...bar,
        flags: listOrNothing((bar.flags ?? []).filter((one) => one !== 'index-assumed')),
      })),
    }),
  },
  {
    what: 'capabilities that the reader has no fields for; with bytes, they are in the bytes',
    read: (fn, built, hex) => ({
      msi: undefined,
      msix: undefined,
      pri: undefined,
      pasid: undefined,
      resizableBars: undefined,
      config: hex ? configAsWritten(built) : undefined,
    }),
  },
  { what: 'mappability of BARs', read: () => ({ nonMappableBars: undefined }) },
];

function listOrNothing<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

function isConventional(kind: FunctionDescription['kind'], type: FunctionDescription['pcieType']): boolean {
  return (
    type === null || (type === undefined && (kind === 'pci-bridge' || kind === 'pci-device' || kind === 'host-bridge'))
  );
}

function isUnknown(kind: FunctionDescription['kind'], type: FunctionDescription['pcieType']): boolean {
  return type === 'unknown' || (type === undefined && (kind === 'unknown-bridge' || kind === 'unknown-device'));
}

/** Whether there may be capabilities that are not listed. */
function isOpen({ kind, pcieType, acs, acsListed }: FunctionDescription): boolean {
  if (isUnknown(kind, pcieType)) return true;
  return acs === 'unknown' && acsListed !== true && !isConventional(kind, pcieType);
}

function configAsWritten(built: TopologyFunction): unknown {
  const bytes = configBytesOf(built);
  const size = Math.min(knownBytes(built.description), bytes.length);
  return size === 0 ? undefined : describeConfig(bytes.subarray(0, size));
}

function knownBytes(fn: FunctionDescription): number {
  const { kind, pcieType, vendor, device, class: code, acs, config } = fn;
  if ((kind !== 'vf' && (vendor === null || device === null)) || code === null) return 0;
  if (config !== undefined) return config.known;
  if (isUnknown(kind, pcieType)) return 64;
  return acs === 'unknown' ? 256 : 4096;
}

/** The functions of a machine as they are read back. */
export function functionsAsRead(machine: MachineDescription, hex: boolean): readonly unknown[] {
  return new Topology(machine).functions.map((built) => {
    const { description } = built;
    return clean(
      LOSSES.reduce<object>((known, loss) => ({ ...known, ...loss.read(description, built, hex) }), description),
    );
  });
}

/** Without fields that hold nothing. */
export function clean<T extends object>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** Writes a machine and reads it again, told what no listing tells. */
export function writeAndRead(machine: MachineDescription, hex: boolean) {
  const text = stringifyLspci(new Topology(machine), { hex });
  return { text, reading: readMachine(text, { name: machine.name, title: machine.title, cpu: machine.cpu }) };
}

/** Root buses in ascending order. */
export function rootBuses({ hostBridges }: MachineDescription): readonly string[] {
  return hostBridges.map(({ domain, bus }) => `${domain}:${bus}`).toSorted();
}

/** Host bridges with something below. */
export function usedRootBuses(machine: MachineDescription): readonly string[] {
  const topology = new Topology(machine);
  return rootBuses({
    ...machine,
    hostBridges: machine.hostBridges.filter(({ domain, bus }) =>
      topology.functions.some((fn) => fn.hostBridge.domain === domain && fn.hostBridge.bus === bus),
    ),
  });
}
