import type { MachineView, P2pTable } from '../machine-view.ts';
import { placeBlock, type PlacedBlock } from './block-layout.ts';
import type { HeatCell, HeatMap, Scene } from './shapes.ts';

export const MARGIN = 24;
const TITLE_HEIGHT = 56;
const BLOCK_GAP = 16;
/** Blocks go on in a further column where the middle of one would be below that. */
const COLUMN_HEIGHT = 2000;
/** More rows and columns than that are no picture any more. */
export const MAX_HEAT_DEVICES = 64;
/** Rank of a block without devices: behind all others. */
const NO_DEVICE = 0xff;
const FEW_DEVICES = 20;
const LARGE_CELL = { width: 52, height: 30 };
const SMALL_CELL = { width: 22, height: 20 };
const LABEL_WIDTH = 64;
/** Room for the caption and the labels of columns, which may stand upright. */
const LABEL_HEIGHT = 84;
export const LEGEND_HEIGHT = 166;
/** Room for the legend. */
const MIN_MAP_WIDTH = 370;

/** The shapes of a machine's picture: the map of answers at the left, blocks of host bridges beside it. */
export function layout(view: MachineView, table: P2pTable): Scene {
  const { topology } = view;
  const labels = new Map(table.devices.map(({ fn, label }) => [fn, label]));
  const heatMap = placeHeatMap(table, MARGIN, TITLE_HEIGHT);
  const placed = topology.hostBridges.map((bridge) => placeBlock(topology, bridge, labels));
  const blocks = inColumns(placed, heatMap.x + heatMap.width + MARGIN);
  const right = Math.max(heatMap.x + heatMap.width, ...blocks.map(({ block }) => block.x + block.width));
  const below = Math.max(heatMap.y + heatMap.height, ...blocks.map(({ block }) => block.y + block.height));
  return {
    width: right + MARGIN,
    height: below + MARGIN,
    blocks: blocks.map(({ block }) => block),
    frames: blocks.flatMap(({ frames }) => frames),
    boxes: blocks.flatMap(({ boxes }) => boxes),
    edges: blocks.flatMap(({ edges }) => edges),
    heatMap,
  };
}

/**
 * Blocks below each other: narrow ones first, those that nobody asks about last; in further columns where one becomes too high
 * or where they get much wider.
 */
function inColumns(placed: readonly PlacedBlock[], left: number): readonly PlacedBlock[] {
  let x = left;
  let y = TITLE_HEIGHT;
  let right = left;
  let narrowest = 0;
  return placed
    .toSorted((a, b) => rank(a) - rank(b))
    .map((each) => {
      const { width, height } = each.block;
      const wider = each.depth > narrowest + 1;
      if (y > TITLE_HEIGHT && (y + height / 2 > COLUMN_HEIGHT || wider)) {
        x = right + BLOCK_GAP;
        y = TITLE_HEIGHT;
      }
      if (y === TITLE_HEIGHT) narrowest = each.depth;
      const moved = moveBlock(each, x, y);
      right = Math.max(right, x + width);
      y += height + BLOCK_GAP;
      return moved;
    });
}

function rank({ depth, boxes }: PlacedBlock): number {
  return boxes.some(({ kind }) => kind === 'device') ? depth : NO_DEVICE;
}

function moveBlock({ depth, block, frames, boxes, edges }: PlacedBlock, dx: number, dy: number): PlacedBlock {
  const move = <T extends { readonly x: number; readonly y: number }>(shape: T): T => ({
    ...shape,
    x: shape.x + dx,
    y: shape.y + dy,
  });
  return {
    depth,
    block: move(block),
    frames: frames.map(move),
    boxes: boxes.map(move),
    edges: edges.map((edge) => ({ ...edge, from: move(edge.from), to: move(edge.to) })),
  };
}

function placeHeatMap(table: P2pTable, x: number, y: number): HeatMap {
  const devices = table.devices.slice(0, MAX_HEAT_DEVICES);
  const cell = devices.length <= FEW_DEVICES ? LARGE_CELL : SMALL_CELL;
  const originX = x + LABEL_WIDTH;
  const originY = y + LABEL_HEIGHT;
  const cells = devices.flatMap((_, row) =>
    devices.map((_device, column): HeatCell => ({
      row,
      column,
      x: originX + column * cell.width,
      y: originY + row * cell.height,
      ...cell,
    })),
  );
  return {
    x,
    y,
    width: Math.max(MIN_MAP_WIDTH, LABEL_WIDTH + devices.length * cell.width),
    height: LABEL_HEIGHT + devices.length * cell.height + LEGEND_HEIGHT,
    devices,
    cells,
    cellWidth: cell.width,
    cellHeight: cell.height,
    originX,
    originY,
  };
}
