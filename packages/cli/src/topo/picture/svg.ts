import type { MachineView, P2pTable } from '../machine-view.ts';
import { shortened } from '../printable.ts';
import { drawBlock, drawBox, drawEdge, drawFrame } from './draw-tree.ts';
import { drawHeatMap } from './draw-heat-map.ts';
import { escapeMarkup } from './escape.ts';
import { layout, MARGIN } from './layout.ts';
import { pictureStyle } from './theme.ts';

/** Width of a character of the title. */
const TITLE_CHARACTER = 11;

/** A machine as a picture: its tree, and who reaches whose memory. Stands alone, follows light and dark. */
export function topoSvg(view: MachineView, table: P2pTable): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${svgElement(view, table, `<style>${pictureStyle()}</style>`)}\n`;
}

/** The picture's element. @param head - what stands first in it */
export function svgElement(view: MachineView, table: P2pTable, head: string): string {
  const scene = layout(view, table);
  const { name, title } = view.reading.description;
  const size = `width="${scene.width}" height="${scene.height}" viewBox="0 0 ${scene.width} ${scene.height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="PCI topology of ${escapeMarkup(name)}">`,
    head,
    '<g class="topo">',
    `<rect class="page" width="${scene.width}" height="${scene.height}"/>`,
    `<text class="title" x="${MARGIN}" y="34">${escapeMarkup(shortened(title, Math.floor((scene.width - 2 * MARGIN) / TITLE_CHARACTER)))}</text>`,
    ...scene.blocks.map((block) => drawBlock(block)),
    ...scene.frames.map((frame) => drawFrame(frame)),
    ...scene.edges.map((edge) => drawEdge(edge)),
    ...scene.boxes.map((box) => drawBox(view, box)),
    drawHeatMap(view, table, scene.heatMap),
    '</g>',
    '</svg>',
  ].join('\n');
}
