import type { HostBridge, Topology, TopologyFunction } from '@dmabuf-emu/pci-iommu';
import { foldedChildren, type TreeItem } from '../tree-items.ts';
import type { Block, Box, Edge, Frame } from './shapes.ts';

const HEADER_HEIGHT = 34;
const PADDING = 14;
const PORT = { width: 128, height: 44 };
const DEVICE = { width: 286, height: 62 };
const FOLDED = { width: 286, height: 28 };
const COLUMN_GAP = 34;
const ROW_GAP = 18;
const FRAME_MARGIN = 6;
/** Folds even a single function that nobody asks about. */
const FOLD_ALL = 1;

/** The shapes of one host bridge, at the origin. */
export interface PlacedBlock {
  /** Number of columns of ports. */
  readonly depth: number;
  readonly block: Block;
  readonly frames: readonly Frame[];
  readonly boxes: readonly Box[];
  readonly edges: readonly Edge[];
}

/**
 * Places everything below a host bridge: ports in columns from left to right, devices in one column at the right end, each a
 * row; a port in the middle of what is behind it.
 */
export function placeBlock(
  topology: Topology,
  bridge: HostBridge,
  labels: ReadonlyMap<TopologyFunction, string>,
): PlacedBlock {
  const items = foldedChildren(topology, topology.rootBusFunctions(bridge), labels, FOLD_ALL);
  const depth = depthOf(items);
  const placer = new Placer(labels, depth);
  for (const item of items) placer.place(item, 0);
  const width = PADDING + depth * (PORT.width + COLUMN_GAP) + DEVICE.width + PADDING;
  const height = items.length === 0 ? HEADER_HEIGHT + PADDING : placer.bottom + PADDING;
  const block: Block = { x: 0, y: 0, width, height, hostBridge: bridge, numaNode: nodeOf(topology, bridge) };
  return { depth, block, frames: placer.frames, boxes: placer.boxes, edges: placer.edges };
}

/** Number of ports one behind the other. */
function depthOf(items: readonly TreeItem[]): number {
  return Math.max(0, ...items.map((item) => (isPort(item) ? 1 + depthOf(item.children) : 0)));
}

function isPort(item: TreeItem): item is TreeItem & { kind: 'function' } {
  return item.kind === 'function' && item.fn.isBridge;
}

function nodeOf(topology: Topology, bridge: HostBridge): number | null {
  const below = topology.functions.filter((fn) => fn.hostBridge === bridge);
  const nodes = new Set(below.flatMap((fn) => fn.description.numaNode ?? []));
  return nodes.size === 1 ? [...nodes][0]! : null;
}

class Placer {
  readonly boxes: Box[] = [];
  readonly edges: Edge[] = [];
  readonly frames: Frame[] = [];
  /** Lowest edge of what was placed. */
  bottom = HEADER_HEIGHT;
  readonly #labels: ReadonlyMap<TopologyFunction, string>;
  readonly #deviceX: number;

  constructor(labels: ReadonlyMap<TopologyFunction, string>, depth: number) {
    this.#labels = labels;
    this.#deviceX = PADDING + depth * (PORT.width + COLUMN_GAP);
  }

  /** Places an item and what is behind it. @returns the item's own box */
  place(item: TreeItem, column: number): Box {
    if (item.kind === 'folded') return this.#leaf({ ...FOLDED, kind: 'folded', text: item.text });
    const { fn } = item;
    const label = this.#labels.get(fn);
    if (!fn.isBridge) {
      const box = this.#leaf({ ...DEVICE, kind: 'device', fn, label: label ?? '' });
      for (const child of item.children) this.place(child, column);
      return box;
    }
    const first = this.boxes.length;
    const behind = item.children.map((child) => ({ child, box: this.place(child, column + 1) }));
    const x = PADDING + column * (PORT.width + COLUMN_GAP);
    const middle =
      behind.length === 0 ? this.#row(PORT.height) + PORT.height / 2 : middleOf(behind.map(({ box }) => box));
    const box: Box = { ...PORT, x, y: middle - PORT.height / 2, kind: 'port', fn };
    this.boxes.push(box);
    for (const each of behind) this.#connect(box, fn, each.box, each.child.kind === 'function' ? each.child.fn : null);
    if (fn.kind === 'upstream-port') this.#frame(fn, this.boxes.slice(first));
    return box;
  }

  #leaf(
    box: { width: number; height: number } & (
      | { kind: 'device'; fn: TopologyFunction; label: string }
      | { kind: 'folded'; text: string }
    ),
  ): Box {
    const placed: Box = { ...box, x: this.#deviceX, y: this.#row(box.height) };
    this.boxes.push(placed);
    return placed;
  }

  /** A new row. @returns its upper edge */
  #row(height: number): number {
    const y = this.bottom + (this.bottom === HEADER_HEIGHT ? 0 : ROW_GAP);
    this.bottom = y + height;
    return y;
  }

  #connect(from: Box, parent: TopologyFunction, to: Box, child: TopologyFunction | null): void {
    this.edges.push({
      parent,
      child,
      from: { x: from.x + from.width, y: from.y + from.height / 2 },
      to: { x: to.x, y: to.y + to.height / 2 },
    });
  }

  /** A frame around a switch: its upstream port and the downstream ports right behind it. */
  #frame(upstream: TopologyFunction, placed: readonly Box[]): void {
    const ports = placed.filter((box) => box.kind === 'port' && (box.fn === upstream || box.fn.bridge === upstream));
    const left = Math.min(...ports.map(({ x }) => x)) - FRAME_MARGIN;
    const top = Math.min(...ports.map(({ y }) => y)) - FRAME_MARGIN;
    const right = Math.max(...ports.map(({ x, width }) => x + width)) + FRAME_MARGIN;
    const low = Math.max(...ports.map(({ y, height }) => y + height)) + FRAME_MARGIN;
    this.frames.push({ x: left, y: top, width: right - left, height: low - top, upstream });
  }
}

function middleOf(boxes: readonly Box[]): number {
  const first = boxes[0]!;
  const last = boxes.at(-1)!;
  return (first.y + first.height / 2 + last.y + last.height / 2) / 2;
}
