import { layout } from '#dist/topo/picture/layout.js';
import type { Rectangle, Scene } from '#dist/topo/picture/shapes.js';
import { builtinMachines, readMachineFile } from '@dmabuf-emu/pci-iommu';
import { describe, expect, test } from 'vitest';
import { MachineView } from '#dist/topo/machine-view.js';
import { realFile, realFiles, realFilesState } from '../test-real-files.ts';
import { tableOf, viewOf } from '../test-view.ts';

/** Edges that touch do not overlap. */
function overlap(a: Rectangle, b: Rectangle): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

function inside(inner: Rectangle, outer: Rectangle): boolean {
  return (
    inner.x >= outer.x &&
    inner.y >= outer.y &&
    inner.x + inner.width <= outer.x + outer.width &&
    inner.y + inner.height <= outer.y + outer.height
  );
}

function overlapping(shapes: readonly Rectangle[]): readonly (readonly [Rectangle, Rectangle])[] {
  return shapes.flatMap((a, i) => shapes.slice(i + 1).flatMap((b) => (overlap(a, b) ? [[a, b] as const] : [])));
}

function expectTidy(scene: Scene): void {
  const page = { x: 0, y: 0, width: scene.width, height: scene.height };
  expect(overlapping(scene.boxes)).toEqual([]);
  expect(overlapping([...scene.blocks, scene.heatMap])).toEqual([]);
  expect(overlapping(scene.heatMap.cells)).toEqual([]);
  for (const shape of [...scene.blocks, ...scene.frames, scene.heatMap]) expect(inside(shape, page)).toBe(true);
  for (const box of [...scene.boxes, ...scene.frames]) {
    expect(scene.blocks.filter((block) => inside(box, block))).toHaveLength(1);
  }
  for (const cell of scene.heatMap.cells) expect(inside(cell, scene.heatMap)).toBe(true);
  // A frame holds the ports of its switch and no other box.
  for (const frame of scene.frames) {
    for (const box of scene.boxes) {
      const member = box.kind === 'port' && (box.fn === frame.upstream || box.fn.bridge === frame.upstream);
      expect(member ? inside(box, frame) : !overlap(box, frame)).toBe(true);
    }
  }
  // A line starts at the right edge of its port and ends at the left edge of what is behind it.
  for (const { parent, from, to } of scene.edges) {
    const port = scene.boxes.find((box) => box.kind === 'port' && box.fn === parent)!;
    expect(from).toEqual({ x: port.x + port.width, y: port.y + port.height / 2 });
    expect(scene.boxes.some(({ x, y, height }) => x === to.x && y + height / 2 === to.y)).toBe(true);
  }
}

describe.each(builtinMachines().map(({ name }) => name))('%s', (name) => {
  const view = viewOf(name);

  test.each([undefined, 'all', 'gpu'])('devices %s: nothing overlaps, all is inside', (list) => {
    const table = tableOf(view, list);
    const scene = layout(view, table);
    expectTidy(scene);
    const drawn = scene.boxes.flatMap((box) => (box.kind === 'device' && box.label !== '' ? [box.fn] : []));
    expect(new Set(drawn)).toEqual(new Set(table.devices.map(({ fn }) => fn)));
  });
});

test('every switch has a frame, every root bus a block', () => {
  const view = viewOf('aurora-8ve');
  const scene = layout(view, tableOf(view));
  expect(scene.frames.map(({ upstream }) => upstream.bdf)).toEqual(['0000:18:00.0', '0000:3b:00.0']);
  expect(scene.blocks.map(({ hostBridge, numaNode }) => [hostBridge.name, numaNode])).toEqual([
    ['0000:17', 0],
    ['0000:3a', 0],
  ]);
});

test(`real files ${realFilesState}`, () => {
  for (const file of realFiles.filter((path) => path.includes('lspci-vvv.txt'))) {
    const view = new MachineView(readMachineFile(file, { lenient: true }), { iommu: true });
    expectTidy(layout(view, tableOf(view)));
  }
  expect(realFiles.length > 0).toBe(realFilesState === 'present');
  expect(realFile('pci')).toContain('pci');
});
