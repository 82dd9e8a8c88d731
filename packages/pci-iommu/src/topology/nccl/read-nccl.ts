import { MACHINE_SCHEMA, type MachineDescription } from '../description/machine-description.ts';
import { checkMachineDescription } from '../description/parse-machine.ts';
import { isBridgeKind } from '../pcie-type.ts';
import type { MachineReader } from '../read/machine-reader.ts';
import type { MachineReading, ReadingWarning, ReadOptions, Unknown } from '../read/machine-reading.ts';
import type { SourceBytes } from '../read/source-bytes.ts';
import { unknownsOf } from '../read/unknowns.ts';
import { describeFunction, isRenamed } from './describe-function.ts';
import { type NcclSystem, readNcclSystem } from './nccl-node.ts';
import { type PlannedHost, planMachine } from './plan-machine.ts';
import { linksOf, type PlannedFunction } from './plan-subtree.ts';
import { readXml } from './xml-tree.ts';

/** Starts XML; `<TAbort-` and `<user@host>` do not. */
const TAG_PATTERN = /^<(?:\?xml|!--|!DOCTYPE|[a-z_]+[\s>/])/u;

/**
 * Topology files of NCCL and RCCL: which functions are below which switch and processor, and nothing else. A file leaves out
 * root ports and the downstream ports of switches; they are put in, named `implied`, and nothing is known of them.
 */
export const ncclReader: MachineReader = {
  recognises: (source) => TAG_PATTERN.test(source.start),

  read(source: SourceBytes, options: ReadOptions): MachineReading {
    const system = readNcclSystem(readXml(source.text));
    const hosts = planMachine(linksOf(system.tops));
    const description = describe(system, hosts, options, source.name);
    checkMachineDescription(description);
    return {
      source: { name: source.name, format: 'nccl-xml' },
      description,
      unknowns: [...unknownsOf(description), ...furtherUnknowns(description)],
      warnings: hosts.flatMap(({ functions }) => functions.flatMap((fn) => warningsOf(fn))),
      listedGroups: null,
    };
  },
};

function describe(
  system: NcclSystem,
  hosts: readonly PlannedHost[],
  options: ReadOptions,
  sourceName: string,
): MachineDescription {
  const name = options.name ?? sourceName;
  return {
    schema: MACHINE_SCHEMA,
    name,
    title: options.title ?? name,
    cpu: options.cpu ?? system.cpu,
    hostBridges: hosts.map(({ domain, rootBus, lastBus }) => ({ domain, bus: rootBus, busEnd: lastBus, windows: [] })),
    functions: hosts.flatMap(({ functions }) => functions.map((fn) => describeFunction(fn))),
  };
}

function warningsOf(fn: PlannedFunction): readonly ReadingWarning[] {
  if (fn.node === null || !isRenamed(fn)) return [];
  const text = `${fn.node.bdf} is ${fn.bdf} here: with the names in the file the functions form no tree of buses`;
  return [{ line: fn.node.line, text }];
}

function furtherUnknowns({ functions }: MachineDescription): readonly Unknown[] {
  const machine: readonly Unknown[] = [
    { bdf: null, what: 'windows', text: 'windows of host bridges and bridges are not in a topology file' },
    {
      bdf: null,
      what: 'parent',
      text: 'which ports share a host bridge is not in a topology file; those with adjoining buses are taken to',
    },
  ];
  const endpoints = functions.filter((fn) => !isBridgeKind(fn.kind));
  return [
    ...machine,
    ...endpoints.map(({ bdf }): Unknown => ({ bdf, what: 'bars', text: 'BARs are not in a topology file' })),
    ...endpoints.map(({ bdf }): Unknown => ({
      bdf,
      what: 'flr',
      text: 'function level reset is not in a topology file',
    })),
  ];
}
