import { type Bdf, type BdfParts, formatBdf } from '../bdf.ts';
import type { FunctionKind } from '../pcie-type.ts';
import type { NcclNode } from './nccl-node.ts';

/** The functions of one device: what a port leads to. */
export type Link = readonly NcclNode[];

/** A function with its place in the tree. */
export interface PlannedFunction {
  readonly bdf: Bdf;
  readonly kind: FunctionKind;
  /** What the file has of it; `null` for a port that must be there but is not in the file. */
  readonly node: NcclNode | null;
  /** Buses behind a bridge. */
  readonly buses: { readonly secondary: number; readonly subordinate: number } | null;
}

/** One root port and all below it. */
export interface PlannedSubtree {
  readonly domain: number;
  readonly rootBus: number;
  readonly lastBus: number;
  readonly functions: readonly PlannedFunction[];
}

/** A root bus with some root ports on it. */
export interface RootBus {
  readonly rootBus: number;
  readonly ports: number;
}

/** Hands out numbers to buses. */
interface Numbering {
  readonly domain: number;
  readonly rootBus: number;
  /** Device number of the root port. */
  readonly rootPort: number;
  busOf(link: Link): number;
  /** The bus inside a switch, between its upstream port and its downstream ports. */
  busInside(upstreamBus: number): number;
}

const FIRST_ROOT_PORT = 1;
const SLOTS = 32;

/** Functions with the same domain, bus and device number are one device. */
export function linksOf(nodes: readonly NcclNode[]): readonly Link[] {
  const links = new Map<string, NcclNode[]>();
  for (const node of nodes) {
    const device = node.bdf.slice(0, -1);
    const link = links.get(device);
    if (link === undefined) links.set(device, [node]);
    else link.push(node);
  }
  return [...links.values()];
}

/**
 * Keeps the listed names; the root port is on the bus before, the inside of a switch is the bus behind its upstream port.
 *
 * @param beside - a root bus to be on instead, as its next root port
 * @returns `null` when the names are not those of one tree
 */
export function planAsListed(link: Link, beside?: RootBus): PlannedSubtree | null {
  const first = link[0]?.parts;
  if (first === undefined || first.bus === 0 || !withBelow(link).every((node) => node.parts.domain === first.domain)) {
    return null;
  }
  return planSubtree(link, {
    domain: first.domain,
    rootBus: beside?.rootBus ?? first.bus - 1,
    rootPort: FIRST_ROOT_PORT + (beside?.ports ?? 0),
    busOf: ([node]) => node?.parts.bus ?? 0,
    busInside: (upstreamBus) => upstreamBus + 1,
  });
}

/** Numbers all buses anew, in a domain of its own. */
export function planAnew(link: Link, domain: number): PlannedSubtree {
  let next = 1;
  return planSubtree(link, {
    domain,
    rootBus: 0,
    rootPort: FIRST_ROOT_PORT,
    busOf: () => next++,
    busInside: () => next++,
  });
}

/** Functions of a device and all below them. */
export function withBelow(nodes: readonly NcclNode[]): readonly NcclNode[] {
  return nodes.flatMap((node) => [node, ...withBelow(node.children)]);
}

function planSubtree(link: Link, numbering: Numbering): PlannedSubtree {
  const { domain, rootBus, rootPort } = numbering;
  const port = { domain, bus: rootBus, slot: rootPort, func: 0 };
  const functions = planPort(link, port, 'root-port', numbering);
  return { domain, rootBus, lastBus: functions[0]?.buses?.subordinate ?? rootBus, functions };
}

/** A port that the file leaves out, and what it leads to. */
function planPort(
  link: Link,
  port: BdfParts,
  kind: 'root-port' | 'downstream-port',
  numbering: Numbering,
): readonly PlannedFunction[] {
  const bus = numbering.busOf(link);
  const below = link.flatMap((node) => planNode(node, bus, numbering));
  const subordinate = Math.max(bus, ...below.map((fn) => fn.buses?.subordinate ?? bus));
  return [{ bdf: formatBdf(port), kind, node: null, buses: { secondary: bus, subordinate } }, ...below];
}

function planNode(node: NcclNode, bus: number, numbering: Numbering): readonly PlannedFunction[] {
  const bdf = formatBdf({ ...node.parts, domain: numbering.domain, bus });
  const links = linksOf(node.children);
  if (links.length === 0) return [{ bdf, kind: leafKind(node), node, buses: null }];
  const inside = numbering.busInside(bus);
  const below = links.flatMap((link, order) => {
    const port = { domain: numbering.domain, bus: inside, slot: order % SLOTS, func: Math.floor(order / SLOTS) };
    return planPort(link, port, 'downstream-port', numbering);
  });
  const subordinate = Math.max(inside, ...below.map((fn) => fn.buses?.subordinate ?? inside));
  return [{ bdf, kind: 'upstream-port', node, buses: { secondary: inside, subordinate } }, ...below];
}

const PCI_BRIDGE_CLASS = 0x0604;

/** What a function without any below it is. */
export function leafKind(node: NcclNode): FunctionKind {
  return node.class !== null && node.class >>> 8 === PCI_BRIDGE_CLASS ? 'unknown-bridge' : 'unknown-device';
}
