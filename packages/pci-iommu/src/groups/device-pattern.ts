import { type Topology, TopologyError, type TopologyFunction, tryParseBdf } from '../topology/index.ts';

/** Whether a function is one that a kernel parameter names. */
export type DevicePattern = (topology: Topology, fn: TopologyFunction) => boolean;

const IDS_PREFIX = 'pci:';
const IDS_PATTERN = /^pci:([0-9a-f]{1,4}):([0-9a-f]{1,4})(?::([0-9a-f]{1,4}):([0-9a-f]{1,4}))?$/iu;
const START_PATTERN = /^(?:([0-9a-f]+):)?([0-9a-f]+):([0-9a-f]+)\.([0-9a-f]+)$/iu;
const STEP_PATTERN = /^([0-9a-f]+)\.([0-9a-f]+)$/iu;

/**
 * Reads how kernel parameters name functions: `[domain:]bus:device.function`, followed by `/device.function` for each
 * bridge on a path down, or `pci:vendor:device` where 0 stands for any.
 *
 * @throws TopologyError for anything else, and for subsystem ids, which a machine description does not have
 * @kernel pci_dev_str_match, pci_dev_str_match_path
 */
export function parseDevicePattern(text: string): DevicePattern {
  return text.startsWith(IDS_PREFIX) ? parseIds(text) : parsePath(text);
}

function parseIds(text: string): DevicePattern {
  const match = IDS_PATTERN.exec(text);
  if (match === null) fail(text);
  const [vendor = 0, device = 0, ...subsystem] = match.slice(1).map((digits) => Number.parseInt(digits ?? '0', 16));
  if (subsystem.some((id) => id !== 0)) {
    throw new TopologyError(
      `expected pci:VENDOR:DEVICE, got ${JSON.stringify(text)}: descriptions have no subsystem ids`,
    );
  }
  return (_topology, fn) => (vendor === 0 || fn.vendor === vendor) && (device === 0 || fn.device === device);
}

function parsePath(text: string): DevicePattern {
  const [start = '', ...steps] = text.split('/');
  const match = START_PATTERN.exec(start);
  if (match === null) fail(text);
  const [domain = 0, bus = 0, slot = 0, func = 0] = match.slice(1).map((digits) => Number.parseInt(digits ?? '0', 16));
  const devfns = steps.map((step) => {
    const parts = STEP_PATTERN.exec(step);
    if (parts === null) fail(text);
    return devfn(Number.parseInt(parts[1] ?? '', 16), Number.parseInt(parts[2] ?? '', 16));
  });
  return (topology, fn) => {
    let at: TopologyFunction | null = fn;
    for (const wanted of devfns.toReversed()) {
      if (at === null || at.devfn !== wanted) return false;
      at = topology.upstreamBridge(at);
    }
    return at !== null && at.domain === domain && at.bus === bus && at.devfn === devfn(slot, func);
  };
}

function devfn(slot: number, func: number): number {
  return ((slot & 0x1f) << 3) | (func & 0x7);
}

function fail(text: string): never {
  const nearly = tryParseBdf(text.split(/[;,\s]/u)[0] ?? '') === undefined ? '' : '; separate several with ";"';
  throw new TopologyError(
    `expected a function such as 0000:0b:00.0, a path such as 00:01.0/00.0, or pci:10b5:8749, got ${JSON.stringify(text)}${nearly}`,
  );
}
