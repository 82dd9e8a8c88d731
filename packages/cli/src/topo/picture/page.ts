import type { MachineView, P2pPair, P2pTable } from '../machine-view.ts';
import { printable } from '../printable.ts';
import { waySteps } from '../way-steps.ts';
import { escapeMarkup, jsonForScript } from './escape.ts';
import { MAX_HEAT_DEVICES } from './layout.ts';
import { PAGE_SCRIPT } from './page-script.ts';
import { PAGE_STYLE } from './page-style.ts';
import { svgElement } from './svg.ts';

/** What the page's script needs; its only source. */
interface PageData {
  readonly names: Readonly<Record<string, string>>;
  readonly pairs: Readonly<Record<string, PagePair>>;
}

interface PagePair {
  readonly type: string;
  readonly distance: number;
  readonly because: string;
  readonly path: readonly string[];
  readonly steps: readonly string[];
  readonly restsOn: readonly string[];
  readonly remedies: readonly string[];
}

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/** A machine as a page that stands alone: pointing at two devices shows the path between them and the reason. */
export function topoPage(view: MachineView, table: P2pTable, setupText: string): string {
  const { name } = view.reading.description;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escapeMarkup(name)} - dmabuf-emu topo</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<strong>${escapeMarkup(name)}</strong>
<span>${escapeMarkup(setupText)}</span>
<button id="theme" type="button">light / dark</button>
</header>
<main>
<div id="picture">${svgElement(view, table, '')}</div>
<aside id="details" aria-live="polite">
<h1>Who reaches whose memory?</h1>
<p>Point at a square, or click two devices: first the one whose memory it is, then the one that reaches it.
A click on a square keeps it.</p>
</aside>
</main>
<script type="application/json" id="data">${jsonForScript(pageData(view, table))}</script>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

function pageData(view: MachineView, table: P2pTable): PageData {
  const drawn = new Set(table.devices.slice(0, MAX_HEAT_DEVICES));
  const pairs = [...table.pairs()].filter(({ from, to }) => drawn.has(from) && drawn.has(to));
  return {
    names: Object.fromEntries(
      table.devices.map(({ fn, label }) => [
        fn.bdf,
        printable(`${label} ${view.names.short(fn)} ${view.names.of(fn)}`),
      ]),
    ),
    pairs: Object.fromEntries(
      pairs.map(({ from, to, answer }) => [
        `${from.fn.bdf} ${to.fn.bdf}`,
        {
          type: answer.type,
          distance: answer.distance,
          because: printable(answer.because),
          path: [...traffic(view, { from, to, answer })],
          steps: waySteps(view, answer).map(({ role, name, kind, acs, note }) =>
            [`${role} ${name} ${kind}`.trim(), acs, note].filter((part) => part !== '').join(', '),
          ),
          restsOn: answer.restsOn.map((text) => printable(text)),
          remedies: answer.remedies.map((text) => printable(text)),
        },
      ]),
    ),
  };
}

/** What the traffic passes: functions by name and, where it goes that far, root buses. */
function traffic({ topology }: MachineView, { from, to, answer }: P2pPair): ReadonlySet<string> {
  if (answer.type !== 'THRU_HOST_BRIDGE') return new Set(answer.path.map((hop) => hop.function.bdf));
  const ends = [from.fn, to.fn];
  return new Set(ends.flatMap((fn) => [...topology.pathToRoot(fn).map(({ bdf }) => bdf), fn.hostBridge.name]));
}
