import { type Bdf, formatBdf, parseBdf, tryParseBdf } from '../bdf.ts';
import type { BridgeWindowDescription, HostWindowDescription } from '../description/machine-description.ts';
import type { LogicalLine } from '../lspci/logical-lines.ts';
import { type RawBar, type RawFunction, unknownFunction } from '../lspci/raw-function.ts';
import { PcieType } from '../pcie-type.ts';

/** What kernel messages tell of a machine. */
export interface BootLog {
  /** Functions that the kernel found, in the order of the messages. */
  readonly functions: readonly RawFunction[];
  /** Memory windows by root bus (`0000:40`). */
  readonly rootWindows: ReadonlyMap<string, readonly HostWindowDescription[]>;
  /** Buses (`0000:40`) that the kernel scanned as root buses. */
  readonly rootBuses: ReadonlySet<string>;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const NAME = String.raw`([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])`;
const FOUND_PATTERN = new RegExp(
  String.raw`\b${NAME}: \[([0-9a-f]{4}):([0-9a-f]{4})\] type (\d\d) class 0x([0-9a-f]{6})(.*)$`,
  'iu',
);
const RESOURCE = String.raw`\[(mem|io) +0x([0-9a-f]+)-0x([0-9a-f]+)([^\]]*)\]`;
const BAR_PATTERN = new RegExp(
  String.raw`\b${NAME}: (?:reg 0x([0-9a-f]{2}):|BAR (\d):?)(?: assigned)? ${RESOURCE}`,
  'iu',
);
const BUSES_PATTERN = new RegExp(String.raw`\b${NAME}: PCI bridge to \[bus ([0-9a-f]{2})(?:-([0-9a-f]{2}))?\]`, 'iu');
const WINDOW_PATTERN = new RegExp(String.raw`\b${NAME}: +bridge window ${RESOURCE}$`, 'iu');
const ROOT_PATTERN = /\bPCI host bridge to bus ([0-9a-f]{4,8}:[0-9a-f]{2})\b/iu;
const ROOT_WINDOW_PATTERN =
  /\bpci_bus ([0-9a-f]{4,8}:[0-9a-f]{2}): root bus resource \[mem 0x([0-9a-f]+)-0x([0-9a-f]+)[^\]]*\](?: \(bus address \[0x([0-9a-f]+)-)?/iu;

const FIRST_BAR = 0x10;
const MAX_BARS = 6;
const MAX_WINDOWS = 8;

/** Device/port types in the words of the kernel; longer words stand before the words they contain. */
const TYPES: readonly (readonly [words: string, type: PcieType | null])[] = [
  ['conventional PCI', null],
  ['PCIe Root Complex Integrated Endpoint', PcieType.RootComplexEndpoint],
  ['PCIe Root Complex Event Collector', PcieType.RootComplexEventCollector],
  ['PCIe Root Port', PcieType.RootPort],
  ['PCIe Switch Upstream Port', PcieType.UpstreamPort],
  ['PCIe Switch Downstream Port', PcieType.DownstreamPort],
  ['PCIe to PCI/PCI-X bridge', PcieType.PcieToPciBridge],
  ['PCI/PCI-X to PCIe bridge', PcieType.PciToPcieBridge],
  ['PCIe Legacy Endpoint', PcieType.LegacyEndpoint],
  ['PCIe Endpoint', PcieType.Endpoint],
];

/** Reads the messages by which the kernel tells what it finds on the buses; all other lines are left alone. */
export function readBootLog(lines: readonly LogicalLine[]): BootLog {
  const reader = new LogReader();
  for (const line of lines) if (line.kind === 'log') reader.take(line);
  return reader;
}

class LogReader implements BootLog {
  readonly rootWindows = new Map<string, HostWindowDescription[]>();
  readonly rootBuses = new Set<string>();
  readonly #functions = new Map<Bdf, Mutable<RawFunction>>();

  get functions(): readonly RawFunction[] {
    return [...this.#functions.values()];
  }

  take({ text, line }: LogicalLine): void {
    const root = ROOT_PATTERN.exec(text)?.[1];
    if (root !== undefined) this.rootBuses.add(root.toLowerCase());
    const window = ROOT_WINDOW_PATTERN.exec(text);
    if (window !== null) this.#addRootWindow(window);
    const found = FOUND_PATTERN.exec(text);
    if (found !== null) this.#addFunction(found, line);
    const bar = BAR_PATTERN.exec(text);
    if (bar !== null) this.#addBar(bar);
    const buses = BUSES_PATTERN.exec(text);
    if (buses !== null) this.#addBuses(buses);
    const bridge = WINDOW_PATTERN.exec(text);
    if (bridge !== null) this.#addWindow(bridge);
  }

  #addRootWindow([, bus = '', from = '', to = '', busFrom]: RegExpExecArray): void {
    const [start, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
    const busOffset = busFrom === undefined ? 0 : Number.parseInt(busFrom, 16) - start;
    if (!Number.isSafeInteger(end) || end < start) return;
    const windows = this.rootWindows.get(bus.toLowerCase());
    if (windows === undefined) this.rootWindows.set(bus.toLowerCase(), [{ start, end, busOffset }]);
    else windows.push({ start, end, busOffset });
  }

  #addFunction(
    [, name = '', vendor = '', device = '', header = '', code = '', rest = '']: RegExpExecArray,
    line: number,
  ): void {
    const bdf = nameOf(name);
    if (bdf === null || this.#functions.has(bdf)) return;
    const type = TYPES.find(([words]) => rest.includes(words))?.[1];
    this.#functions.set(bdf, {
      ...unknownFunction(bdf, line),
      vendor: Number.parseInt(vendor, 16),
      device: Number.parseInt(device, 16),
      class: Number.parseInt(code, 16),
      headerType: Number.parseInt(header, 16),
      pcieType: type === undefined ? 'unknown' : type,
      barsShown: true,
    });
  }

  #addBar([, name = '', register, index, kind, from = '', to = '', marks = '']: RegExpExecArray): void {
    const fn = this.#functions.get(nameOf(name) ?? '');
    const at = index === undefined ? (Number.parseInt(register ?? '', 16) - FIRST_BAR) / 4 : Number(index);
    if (fn === undefined || !Number.isInteger(at) || at < 0 || at >= MAX_BARS) return;
    const [start, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
    const bar: RawBar = {
      index: at,
      address: start === 0 ? null : start,
      size: end - start + 1,
      kind: kind === 'io' ? 'io' : marks.includes('64bit') ? 'mem64' : 'mem32',
      prefetchable: marks.includes('pref'),
      flags: [],
    };
    fn.bars = [...fn.bars.filter((known) => known.index !== at), bar].toSorted(
      (a, b) => (a.index ?? 0) - (b.index ?? 0),
    );
  }

  #addBuses([, name = '', first = '', last]: RegExpExecArray): void {
    const bdf = nameOf(name);
    const fn = bdf === null ? undefined : this.#functions.get(bdf);
    if (bdf === null || fn === undefined) return;
    const secondary = Number.parseInt(first, 16);
    const subordinate = last === undefined ? secondary : Number.parseInt(last, 16);
    fn.bus = { primary: parseBdf(bdf).bus, secondary, subordinate };
    // What follows are the windows as they are now.
    fn.windows = [];
  }

  #addWindow([, name = '', kind, from = '', to = '', marks = '']: RegExpExecArray): void {
    const fn = this.#functions.get(nameOf(name) ?? '');
    if (fn === undefined || fn.windows.length >= MAX_WINDOWS) return;
    const window: BridgeWindowDescription = {
      kind: kind === 'io' ? 'io' : marks.includes('pref') ? 'prefetch' : 'mem',
      start: Number.parseInt(from, 16),
      end: Number.parseInt(to, 16),
    };
    if (window.end >= window.start) fn.windows = [...fn.windows, window];
  }
}

function nameOf(name: string): Bdf | null {
  const parts = tryParseBdf(name);
  return parts === undefined ? null : formatBdf(parts);
}
