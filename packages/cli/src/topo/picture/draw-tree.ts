import type { TopologyFunction } from '@dmabuf-emu/pci-iommu';
import { acsBits, acsText, barText, kindWord } from '../function-facts.ts';
import type { MachineView } from '../machine-view.ts';
import { shortened } from '../printable.ts';
import { escapeMarkup } from './escape.ts';
import type { Block, Box, Edge, Frame } from './shapes.ts';
import { groupHue, nodeColour } from './theme.ts';

const NAME_LENGTH = 36;
const PORT_LENGTH = 18;
const LABEL_LENGTH = 10;
const BARS_LENGTH = 40;
const STRIPE = 5;
const PAD = 10;
/** Where lines from a port turn to what is behind it. */
const TURN = 17;
const BADGE_WIDTH = 34;
const PILL = { width: 20, height: 13 };

export function drawBlock({ x, y, width, height, hostBridge, numaNode }: Block): string {
  const node = numaNode === null ? '' : `NUMA node ${numaNode}`;
  const colour = nodeColour(numaNode);
  return [
    `<rect class="block" data-bdf="${hostBridge.name}" x="${x}" y="${y}" width="${width}" height="${height}" rx="8"/>`,
    `<rect x="${x}" y="${y + 6}" width="${STRIPE}" height="${height - 12}" rx="2" style="fill:${colour}"/>`,
    `<text class="strong" x="${x + PAD + STRIPE}" y="${y + 21}">${hostBridge.name}</text>`,
    `<text class="faint" x="${x + 84}" y="${y + 21}">host bridge</text>`,
    node === ''
      ? ''
      : `<text class="end strong" x="${x + width - PAD}" y="${y + 21}" style="fill:${colour}">${node}</text>`,
  ].join('');
}

export function drawFrame({ x, y, width, height }: Frame): string {
  return `<rect class="frame" x="${x}" y="${y}" width="${width}" height="${height}" rx="10"/>`;
}

export function drawEdge({ parent, child, from, to }: Edge): string {
  const name = child === null ? '' : ` data-edge="${child.bdf}" data-lead="${parent.bdf}"`;
  return `<path class="edge"${name} d="M${from.x} ${from.y}h${TURN}V${to.y}H${to.x}"/>`;
}

export function drawBox(view: MachineView, box: Box): string {
  switch (box.kind) {
    case 'port':
      return drawPort(view, box, box.fn);
    case 'device':
      return drawDevice(view, box, box.fn, box.label);
    case 'folded':
      return (
        `<rect class="folded" x="${box.x}" y="${box.y}" width="${box.width}" height="${box.height}" rx="6"/>` +
        `<text class="faint" x="${box.x + PAD}" y="${box.y + 17}">${escapeMarkup(shortened(box.text, NAME_LENGTH))}</text>`
      );
  }
}

const PORT_WORDS: Readonly<Record<string, string>> = {
  'upstream-port': 'switch up',
  'downstream-port': 'switch down',
  'pcie-to-pci-bridge': 'to PCI bridge',
  'pci-to-pcie-bridge': 'to PCIe bridge',
};

function drawPort(view: MachineView, { x, y, width, height }: Box, fn: TopologyFunction): string {
  const words = PORT_WORDS[fn.kind] ?? kindWord(fn.kind);
  return [
    `<g data-bdf="${fn.bdf}">`,
    `<title>${escapeMarkup(tooltip(view, fn))}</title>`,
    `<rect class="port" x="${x}" y="${y}" width="${width}" height="${height}" rx="5"/>`,
    `<text class="mono" x="${x + PAD}" y="${y + 18}">${view.names.short(fn)}</text>`,
    `<text class="faint small" x="${x + PAD}" y="${y + 34}">${escapeMarkup(shortened(words, PORT_LENGTH))}</text>`,
    drawPill(view, fn, x + width - PILL.width - 6, y + height - PILL.height - 6),
    '</g>',
  ].join('');
}

/** What ACS does at a port: filled when it redirects, hollow when it does not, dashed when that is not known. */
function drawPill(view: MachineView, fn: TopologyFunction, x: number, y: number): string {
  const mark = view.acsMark(fn);
  if (mark === 'none') return '';
  const text = { redirects: '↑R', passes: '↔', unknown: '?' }[mark];
  return (
    `<rect class="pill-${mark}" x="${x}" y="${y}" width="${PILL.width}" height="${PILL.height}" rx="6"/>` +
    `<text class="small middle on-${mark}" x="${x + PILL.width / 2}" y="${y + 10}">${text}</text>`
  );
}

function drawDevice(view: MachineView, { x, y, width, height }: Box, fn: TopologyFunction, label: string): string {
  return [
    `<g data-bdf="${fn.bdf}">`,
    `<title>${escapeMarkup(tooltip(view, fn))}</title>`,
    `<rect class="device" x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>`,
    `<text class="strong" x="${x + PAD}" y="${y + 18}">${escapeMarkup(shortened(label, LABEL_LENGTH))}</text>`,
    `<text class="mono faint" x="${x + (label === '' ? PAD : 74)}" y="${y + 18}">${fn.bdf}</text>`,
    `<text x="${x + PAD}" y="${y + 35}">${escapeMarkup(shortened(view.names.of(fn), NAME_LENGTH))}</text>`,
    `<text class="mono faint" x="${x + PAD}" y="${y + 52}">${escapeMarkup(shortened(barText(fn), BARS_LENGTH))}</text>`,
    drawGroup(view, fn, x + width - BADGE_WIDTH - 8, y + 7),
    '</g>',
  ].join('');
}

/** The badge of a group: in a colour of its own where other functions are in it too. */
function drawGroup(view: MachineView, fn: TopologyFunction, x: number, y: number): string {
  const group = view.groupOf(fn);
  if (group === null) return '';
  const shared = group.functions.length > 1;
  const rect = shared
    ? `<rect x="${x}" y="${y}" width="${BADGE_WIDTH}" height="16" rx="8" style="fill:hsl(${groupHue(group.id)} 45% 42%)"/>`
    : `<rect class="lone" x="${x}" y="${y}" width="${BADGE_WIDTH}" height="16" rx="8"/>`;
  const style = shared ? 'on-cell' : 'faint';
  return `${rect}<text class="small middle ${style}" x="${x + BADGE_WIDTH / 2}" y="${y + 12}">g${group.id}</text>`;
}

/** All that is known of a function, a line each. */
function tooltip(view: MachineView, fn: TopologyFunction): string {
  const { acs } = fn;
  const bits = acs === null || acs === 'unknown' ? '' : ` (can ${acsBits(acs.cap) || 'nothing'})`;
  const mark = acsText(fn, view.acsMark(fn));
  const group = view.groupOf(fn);
  return [
    `${fn.bdf} ${kindWord(fn.kind)}`,
    view.names.of(fn),
    ...(mark === '' ? [] : [mark + bits]),
    ...(group === null ? [] : [`IOMMU group ${group.id}`]),
  ].join(' · ');
}
