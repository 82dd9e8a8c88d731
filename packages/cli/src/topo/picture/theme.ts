/** Colours of a picture. */
interface Colours {
  readonly page: string;
  readonly block: string;
  readonly line: string;
  readonly box: string;
  readonly text: string;
  readonly faint: string;
  readonly frame: string;
  readonly bus: string;
  readonly host: string;
  readonly not: string;
  readonly unknown: string;
  readonly self: string;
  readonly onCell: string;
  readonly mark: string;
}

const LIGHT: Colours = {
  page: '#f6f7f9',
  block: '#ffffff',
  line: '#c3c9d2',
  box: '#ffffff',
  text: '#1c2733',
  faint: '#64707d',
  frame: '#f0f2f6',
  bus: '#1f8a5b',
  host: '#2f6fc9',
  not: '#c2413b',
  unknown: '#8a6fb5',
  self: '#e4e8ed',
  onCell: '#ffffff',
  mark: '#c25e00',
};

const DARK: Colours = {
  page: '#12161c',
  block: '#1a2028',
  line: '#3f4a57',
  box: '#222a34',
  text: '#e6ebf1',
  faint: '#97a3b1',
  frame: '#1f2630',
  bus: '#2c9c6c',
  host: '#3d7ed6',
  not: '#cf504a',
  unknown: '#8f77bd',
  self: '#29323d',
  onCell: '#ffffff',
  mark: '#f0913a',
};

/** Hues of NUMA nodes, told apart also by those who see few colours. */
const NODE_HUES: readonly number[] = [205, 35, 150, 280, 340, 60, 180, 110];

/** The colour of a NUMA node, the same in light and dark. */
export function nodeColour(node: number | null): string {
  return node === null ? '#8b95a1' : `hsl(${NODE_HUES[node % NODE_HUES.length]} 62% 48%)`;
}

/** The colour of a group's badge: groups beside each other differ. */
export function groupHue(group: number): number {
  return (group * 137) % 360;
}

/**
 * Style rules for the classes of a picture.
 *
 * @param root - what stands before each selector
 */
function rules(colours: Colours, root: string): string {
  const rule = (classes: string, text: string): string =>
    `${classes
      .split(',')
      .map((each) => `${root} ${each}`)
      .join(',')}{${text}}`;
  return [
    rule('.page', `fill:${colours.page}`),
    rule('.block', `fill:${colours.block};stroke:${colours.line}`),
    rule('.frame', `fill:${colours.frame};stroke:${colours.faint}`),
    rule('.edge', `stroke:${colours.line}`),
    rule('.port,.device', `fill:${colours.box};stroke:${colours.faint}`),
    rule('.folded', `stroke:${colours.line}`),
    rule('text', `fill:${colours.text}`),
    rule('.faint', `fill:${colours.faint}`),
    rule('.pill-redirects', `fill:${colours.mark}`),
    rule('.pill-passes', `fill:none;stroke:${colours.bus}`),
    rule('.pill-unknown', `fill:none;stroke:${colours.unknown};stroke-dasharray:3 2`),
    rule('.on-passes', `fill:${colours.bus}`),
    rule('.on-unknown', `fill:${colours.unknown}`),
    rule('.on-redirects,.on-cell', `fill:${colours.onCell}`),
    rule('.BUS_ADDR', `fill:${colours.bus}`),
    rule('.THRU_HOST_BRIDGE', `fill:${colours.host}`),
    rule('.NOT_SUPPORTED', `fill:${colours.not}`),
    rule('.UNKNOWN', `fill:${colours.unknown}`),
    rule('.self', `fill:${colours.self}`),
    rule('.lone', `fill:${colours.self}`),
    rule('.lit .port,.lit .device,.block.lit', `stroke:${colours.mark}`),
    rule('.edge.lit', `stroke:${colours.mark}`),
  ].join('\n');
}

const SHAPES = `.topo{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12px}
.topo .mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:11px}
.topo .title{font-size:18px;font-weight:600}
.topo .strong{font-weight:600}
.topo .small{font-size:10px}
.topo .middle{text-anchor:middle}
.topo .end{text-anchor:end}
.topo .edge{fill:none;stroke-width:1.5;stroke-linejoin:round}
.topo .edge.lit{stroke-width:3}
.topo .frame{stroke-dasharray:5 4}
.topo .folded{fill:none;stroke-dasharray:2 3}
.topo .lit .port,.topo .lit .device{stroke-width:2.5}`;

/** Style of a picture that follows what the viewer prefers; `data-theme` of the document decides when it is set. */
export function pictureStyle(): string {
  return [
    SHAPES,
    rules(LIGHT, '.topo'),
    `@media (prefers-color-scheme:dark){\n${rules(DARK, ':root:not([data-theme="light"]) .topo')}\n}`,
    rules(DARK, ':root[data-theme="dark"] .topo'),
  ].join('\n');
}

/** The same for a page around it. */
export function pageColours(theme: 'light' | 'dark'): string {
  const { page, block, text, faint, line, mark } = theme === 'light' ? LIGHT : DARK;
  return `--page:${page};--card:${block};--text:${text};--faint:${faint};--line:${line};--mark:${mark};color-scheme:${theme}`;
}
