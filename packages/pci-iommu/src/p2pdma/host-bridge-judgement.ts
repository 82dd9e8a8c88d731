import {
  type CpuDescription,
  type HostBridge,
  PcieType,
  type Topology,
  type TopologyFunction,
} from '../topology/index.ts';
import { FIRST_ZEN_FAMILY } from './host-bridge-rule.ts';
import { HOST_BRIDGE_WHITELIST, type WhitelistRow } from './host-bridge-whitelist.ts';

/** An answer that may depend on something that a description does not tell. */
export interface Judgement {
  readonly answer: boolean | 'unknown';
  /** Why, as part of a sentence. */
  readonly because: string;
  /** What is not known and would have to be, one entry each. */
  readonly restsOn: readonly string[];
}

/** Whether traffic between two functions may pass their host bridges, with the reason. */
export function judgeHostBridges(
  topology: Topology,
  provider: TopologyFunction,
  client: TopologyFunction,
  list: readonly WhitelistRow[] = HOST_BRIDGE_WHITELIST,
): Judgement {
  const cpu = judgeCpu(topology.description.cpu);
  if (cpu.answer === true) return cpu;
  if (provider.hostBridge.assumed || client.hostBridge.assumed)
    return judgeUnplaced(topology, provider, client, list, cpu);
  const same = provider.hostBridge === client.hostBridge;
  const bridges = same ? [provider.hostBridge] : [provider.hostBridge, client.hostBridge];
  const listed = bridges.map((bridge) => judgeBridge(topology, bridge, same, list));
  const refused = listed.find(({ answer }) => answer === false);
  const open = listed.filter(({ answer }) => answer === 'unknown');
  if (refused === undefined && open.length === 0) {
    return { answer: true, because: listed.map(({ because }) => because).join(' and '), restsOn: [] };
  }
  const bridge = refused ?? open[0]!;
  const because = `${bridge.because} and ${cpu.because}`;
  if (refused !== undefined) return { answer: cpu.answer, because, restsOn: cpu.restsOn };
  return { answer: 'unknown', because, restsOn: [...open.flatMap(({ restsOn }) => restsOn), ...cpu.restsOn] };
}

/** Where a tree is attached is not told: only the other tree's host bridge can decide, by being on no list at all. */
function judgeUnplaced(
  topology: Topology,
  provider: TopologyFunction,
  client: TopologyFunction,
  list: readonly WhitelistRow[],
  cpu: Judgement,
): Judgement {
  const bridges = [...new Set([provider.hostBridge, client.hostBridge])];
  const placed = bridges.filter(({ assumed }) => !assumed).map((bridge) => judgeBridge(topology, bridge, true, list));
  const refused = placed.find(({ answer }) => answer === false);
  if (refused !== undefined) {
    return { answer: cpu.answer, because: `${refused.because} and ${cpu.because}`, restsOn: cpu.restsOn };
  }
  const places = bridges.filter(({ assumed }) => assumed).map(({ name }) => name);
  return {
    answer: 'unknown',
    because: `it is not known which host bridge is above bus ${places.join(' and ')}, and ${cpu.because}`,
    restsOn: [...places.map((name) => `the bridge above bus ${name}`), ...cpu.restsOn],
  };
}

function judgeCpu({ vendor, family }: CpuDescription): Judgement {
  const maybeAmd = vendor === 'AMD' || vendor === 'unknown';
  const maybeZen = family === null || family >= FIRST_ZEN_FAMILY;
  if (!maybeAmd || !maybeZen) return { answer: false, because: 'the CPU is not AMD Zen', restsOn: [] };
  if (vendor === 'AMD' && family !== null) {
    return {
      answer: true,
      because: `the CPU is AMD Zen (family 0x${family.toString(16)}), which forwards between its root ports`,
      restsOn: [],
    };
  }
  return {
    answer: 'unknown',
    because: 'it is not known whether the CPU is AMD Zen',
    restsOn: [vendor === 'AMD' ? 'the family of the AMD CPU' : 'vendor and family of the CPU'],
  };
}

function judgeBridge(topology: Topology, bridge: HostBridge, same: boolean, list: readonly WhitelistRow[]): Judgement {
  const first = topology.rootBusFunctions(bridge)[0];
  const nowhere = `nothing on root bus ${bridge.name} tells which host bridge it is`;
  if (first === undefined) return { answer: false, because: nowhere, restsOn: [] };
  if (first.devfn !== 0 && first.pcieType !== PcieType.RootPort && first.pcieType !== 'unknown') {
    return {
      answer: false,
      because: `${nowhere} (its first function ${first.bdf} is neither 00.0 nor a root port)`,
      restsOn: [],
    };
  }
  const outcomes = possibleOutcomes(first, same, list);
  const name = `host bridge ${idsOf(first)} (${bridge.name})`;
  if (!outcomes.has(true)) {
    const why = isListedForSame(first, list)
      ? "is on the kernel's list only for traffic within it"
      : "is not on the kernel's list";
    return { answer: false, because: `${name} ${why}`, restsOn: [] };
  }
  if (!outcomes.has(false) && (first.devfn === 0 || first.pcieType === PcieType.RootPort)) {
    return { answer: true, because: `${name} is on the kernel's list`, restsOn: [] };
  }
  const what = outcomes.has(false) ? 'ids' : 'PCIe type';
  return {
    answer: 'unknown',
    because: `${name} may be on the kernel's list`,
    restsOn: [`the ${what} of ${first.bdf}`],
  };
}

/** What the list may say of a function, some ids of which may not be known. The first row that matches decides. */
function possibleOutcomes(fn: TopologyFunction, same: boolean, list: readonly WhitelistRow[]): ReadonlySet<boolean> {
  const outcomes = new Set<boolean>();
  const decided = new Set<string>();
  let mayBeUnlisted = true;
  for (const row of list) {
    if (fn.vendor !== null && fn.vendor !== row.vendor) continue;
    if (fn.device !== null && row.device !== null && fn.device !== row.device) continue;
    if (decided.has(`${row.vendor}:${row.device}`) || decided.has(`${row.vendor}:null`)) continue;
    decided.add(`${row.vendor}:${row.device}`);
    outcomes.add(same || !row.sameHostBridge);
    if (fn.vendor !== null && (row.device === null || fn.device !== null)) {
      mayBeUnlisted = false;
      break;
    }
  }
  if (mayBeUnlisted) outcomes.add(false);
  return outcomes;
}

function isListedForSame(fn: TopologyFunction, list: readonly WhitelistRow[]): boolean {
  return list.some(({ vendor, device }) => vendor === fn.vendor && (device === null || device === fn.device));
}

function idsOf({ vendor, device }: TopologyFunction): string {
  const hex = (id: number | null): string => (id === null ? '????' : id.toString(16).padStart(4, '0'));
  return `${hex(vendor)}:${hex(device)}`;
}
