import { busKey, parseBdf } from '../bdf.ts';
import { checkTree } from '../description/check-tree.ts';
import {
  type FunctionDescription,
  type HostBridgeDescription,
  MACHINE_SCHEMA,
} from '../description/machine-description.ts';
import { TopologyError } from '../topology-error.ts';
import { describeFunction } from './describe-function.ts';
import {
  leafKind,
  type Link,
  planAnew,
  planAsListed,
  type PlannedFunction,
  type PlannedSubtree,
  withBelow,
} from './plan-subtree.ts';

/** Domains above those that firmware hands out, for functions whose listed names cannot form a tree. */
const FIRST_OWN_DOMAIN = 0x1_0000;
const LAST_BUS = 0xff;
const MOST_ROOT_PORTS = 30;
/** Number of ports of a root bus on which there is no place for more. */
const FULL = MOST_ROOT_PORTS + 1;

/** A host bridge and all below it. */
export interface PlannedHost {
  readonly domain: number;
  readonly rootBus: number;
  lastBus: number;
  ports: number;
  readonly numaNode: number | null;
  readonly functions: PlannedFunction[];
}

/**
 * Host bridges for the devices right below the processors: one for each, but those of one NUMA node whose buses follow each
 * other share one. Names stay as listed where they can form a tree beside the others; else the branch gets a domain of its own.
 */
export function planMachine(links: readonly Link[]): readonly PlannedHost[] {
  const owners = new Map<number, Set<Link>>();
  for (const link of links) {
    for (const { parts } of withBelow(link)) {
      const key = busKey(parts.domain, parts.bus);
      owners.set(key, (owners.get(key) ?? new Set()).add(link));
    }
  }
  const hosts: PlannedHost[] = [];
  let ownDomain = FIRST_OWN_DOMAIN;
  for (const link of links.toSorted((a, b) => firstBus(a) - firstBus(b))) {
    const [node] = link;
    const before = hosts.find(({ domain, lastBus }) => domain === node?.parts.domain && lastBus === node.parts.bus - 1);
    const placed = isOnRootBus(link, links)
      ? placeOnRootBus(hosts, link)
      : placeBeside(before, link, owners) || placeListed(hosts, link, owners);
    if (placed) continue;
    hosts.push(hostOf(planAnew(link, ownDomain++), link));
  }
  return hosts;
}

/** Devices without switches that share a bus are on the root bus itself, as those of bus 0: no port leads to more than one. */
function isOnRootBus(link: Link, links: readonly Link[]): boolean {
  const isFlat = (one: Link): boolean => one.every((node) => node.children.length === 0);
  const alike = links.filter((one) => firstBus(one) === firstBus(link));
  return isFlat(link) && (link[0]?.parts.bus === 0 || alike.filter((one) => isFlat(one)).length > 1);
}

function placeOnRootBus(hosts: PlannedHost[], link: Link): boolean {
  const first = link[0];
  if (first === undefined) return false;
  const { domain, bus } = first.parts;
  const functions = link.map((node): PlannedFunction => ({ bdf: node.bdf, kind: leafKind(node), node, buses: null }));
  const there = hosts.find((host) => host.domain === domain && bus >= host.rootBus && bus <= host.lastBus);
  if (there !== undefined && (there.rootBus !== bus || there.ports < FULL)) return false;
  if (there === undefined) hosts.push({ domain, rootBus: bus, lastBus: bus, ports: FULL, numaNode: null, functions });
  else there.functions.push(...functions);
  return true;
}

/** As a further root port of the last host bridge, when the buses follow on each other. */
function placeBeside(
  host: PlannedHost | undefined,
  link: Link,
  owners: ReadonlyMap<number, ReadonlySet<Link>>,
): boolean {
  const first = link[0];
  if (host === undefined || first === undefined || host.ports > MOST_ROOT_PORTS) return false;
  const { domain, bus } = first.parts;
  if (host.domain !== domain || host.lastBus !== bus - 1 || host.numaNode !== first.numaNode) return false;
  const plan = planAsListed(link, host);
  if (plan === null || !isTree(plan) || !isFree(plan, bus, link, owners)) return false;
  host.lastBus = plan.lastBus;
  host.ports += 1;
  host.functions.push(...plan.functions);
  return true;
}

function placeListed(hosts: PlannedHost[], link: Link, owners: ReadonlyMap<number, ReadonlySet<Link>>): boolean {
  const plan = planAsListed(link);
  if (plan === null || !isTree(plan) || !isFree(plan, plan.rootBus, link, owners)) return false;
  const overlaps = hosts.some(
    (host) => host.domain === plan.domain && plan.rootBus <= host.lastBus && plan.lastBus >= host.rootBus,
  );
  if (overlaps) return false;
  hosts.push(hostOf(plan, link));
  return true;
}

/** Whether no other branch has functions on the buses from `firstBus` on. */
function isFree(
  plan: PlannedSubtree,
  first: number,
  link: Link,
  owners: ReadonlyMap<number, ReadonlySet<Link>>,
): boolean {
  const buses = Array.from({ length: plan.lastBus - first + 1 }, (_, step) => busKey(plan.domain, first + step));
  return buses.every((bus) => [...(owners.get(bus) ?? [])].every((owner) => owner === link));
}

/** Bus numbers rise on the way down, and each bus has one bridge that leads to it. */
function isTree(plan: PlannedSubtree): boolean {
  if (plan.lastBus > LAST_BUS) return false;
  if (plan.functions.some(({ bdf, buses }) => buses !== null && buses.secondary <= parseBdf(bdf).bus)) return false;
  const functions: readonly FunctionDescription[] = plan.functions.map((fn) => describeFunction(fn));
  const hostBridges: readonly HostBridgeDescription[] = [
    { domain: plan.domain, bus: plan.rootBus, busEnd: plan.lastBus, windows: [] },
  ];
  const cpu = { vendor: 'unknown', family: null };
  try {
    checkTree({ schema: MACHINE_SCHEMA, name: 'branch', title: 'branch', cpu, hostBridges, functions });
    return true;
  } catch (error) {
    if (error instanceof TopologyError) return false;
    throw error;
  }
}

function hostOf(plan: PlannedSubtree, link: Link): PlannedHost {
  return { ...plan, functions: [...plan.functions], ports: 1, numaNode: link[0]?.numaNode ?? null };
}

function firstBus(link: Link): number {
  const parts = link[0]?.parts;
  return parts === undefined ? 0 : busKey(parts.domain, parts.bus);
}
