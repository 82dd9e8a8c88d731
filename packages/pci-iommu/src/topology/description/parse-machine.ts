import { checkBars } from './check-bars.ts';
import { checkTree } from './check-tree.ts';
import { FieldReader } from './field-reader.ts';
import {
  type CpuDescription,
  type HostBridgeDescription,
  type HostWindowDescription,
  MACHINE_SCHEMA,
  type MachineDescription,
} from './machine-description.ts';
import { readFunction } from './read-function.ts';

const MAX_DOMAIN = 0xffff_ffff;
const MAX_BUS = 0xff;
const MAX_FAMILY = 0xfff;

/**
 * Reads and checks a machine description (parsed JSON or an object).
 *
 * Hex strings become numbers and short function names get their domain; everything that contradicts itself is refused.
 *
 * @param value - what `JSON.parse` gave, or a {@link MachineDescription} made by hand
 * @returns a description that `Topology` can be built from
 * @throws TopologyError naming the field, what was expected and what was found
 */
export function parseMachineDescription(value: unknown): MachineDescription {
  const reader = new FieldReader(value, '');
  if (reader.raw('schema') !== MACHINE_SCHEMA) reader.fail('schema', JSON.stringify(MACHINE_SCHEMA));
  const machine: MachineDescription = {
    schema: MACHINE_SCHEMA,
    name: reader.text('name'),
    title: reader.text('title'),
    cpu: readCpu(reader.raw('cpu'), 'cpu'),
    hostBridges: reader.each('hostBridges', readHostBridge),
    functions: reader.each('functions', readFunction),
  };
  reader.end();
  checkMachineDescription(machine);
  return machine;
}

/**
 * Checks that a description fits together: bus numbers, parents, VFs, BARs and windows.
 *
 * @throws TopologyError naming the field, what was expected and what was found
 */
export function checkMachineDescription(machine: MachineDescription): void {
  checkBars(machine, checkTree(machine));
}

function readCpu(value: unknown, path: string): CpuDescription {
  const reader = new FieldReader(value, path);
  const cpu: CpuDescription = {
    vendor: reader.text('vendor'),
    family: reader.wholeOrNull('family', MAX_FAMILY),
  };
  reader.end();
  return cpu;
}

function readHostBridge(value: unknown, path: string): HostBridgeDescription {
  const reader = new FieldReader(value, path);
  const bridge: HostBridgeDescription = {
    domain: reader.whole('domain', MAX_DOMAIN),
    bus: reader.whole('bus', MAX_BUS),
    ...(reader.has('busEnd') ? { busEnd: reader.whole('busEnd', MAX_BUS) } : {}),
    windows: reader.each('windows', readHostWindow),
    ...(reader.has('dmaRanges') ? { dmaRanges: reader.each('dmaRanges', readHostWindow) } : {}),
    ...(reader.has('assumed') ? { assumed: reader.flag('assumed') } : {}),
  };
  reader.end();
  return bridge;
}

function readHostWindow(value: unknown, path: string): HostWindowDescription {
  const reader = new FieldReader(value, path);
  const window: HostWindowDescription = {
    start: reader.whole('start'),
    end: reader.whole('end'),
    busOffset: reader.signed('busOffset'),
  };
  if (window.end < window.start) reader.fail('end', `an address at or above start 0x${window.start.toString(16)}`);
  if (window.start + window.busOffset < 0)
    reader.fail('busOffset', 'at most start below zero: bus addresses are not negative');
  if (!Number.isSafeInteger(window.end + window.busOffset)) reader.fail('busOffset', 'bus addresses below 2^53');
  reader.end();
  return window;
}
