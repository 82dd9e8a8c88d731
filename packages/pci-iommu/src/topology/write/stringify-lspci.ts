import { configBytesOf } from '../../config-space/config-bytes-of.ts';
import type { PciSystem } from '../../system/pci-system.ts';
import type { TopologyFunction } from '../tree/topology-function.ts';
import { Topology } from '../tree/topology.ts';
import { capabilityLines } from './capability-lines.ts';
import { deviceLines } from './device-lines.ts';
import { FunctionView } from './function-view.ts';
import { headerLineText } from './header-line-text.ts';
import { hexDigits } from './words.ts';

/** What the listing shows besides what `lspci -nnDvvv` does. */
export interface LspciTextOptions {
  /** The bytes of configuration space too, as with `-xxxx`. */
  readonly hex?: boolean;
  /** IOMMU groups to list, as on a machine with an IOMMU. */
  readonly groups?: readonly ListedFunctions[];
}

interface ListedFunctions {
  readonly id: number;
  readonly functions: readonly TopologyFunction[];
}

const BYTES_PER_LINE = 16;

/**
 * A machine as `lspci -nnDvvv` prints it: a topology with the registers as at start, a running system with those that it has
 * now. What is not known is not in it; `readMachine` reads the text back, but for what `lspci` has no words for: the
 * machine's name and processor, labels, windows of host bridges.
 *
 * @example
 * writeFileSync('lspci.txt', stringifyLspci(topology, { hex: true, groups: iommuGroups(topology, { iommu: true }) }));
 */
export function stringifyLspci(source: Topology | PciSystem, options: LspciTextOptions = {}): string {
  const topology = source instanceof Topology ? source : source.topology;
  const groups = new Map(options.groups?.flatMap(({ id, functions }) => functions.map((fn) => [fn.bdf, id] as const)));
  return topology.functions
    .map((fn) => {
      const bytes = source instanceof Topology ? configBytesOf(fn) : liveBytes(source, fn);
      return functionText(new FunctionView(fn, bytes), groups.get(fn.bdf), options.hex === true);
    })
    .join('');
}

function functionText(view: FunctionView, group: number | undefined, hex: boolean): string {
  const lines = view.answers
    ? [...deviceLines(view, group), ...capabilityLines(view)]
    : [{ depth: 1, text: '!!! Unknown header type 7f' }];
  const text = lines.map(({ depth, text: words }) => `${'\t'.repeat(depth)}${words}`);
  return `${[headerLineText(view), ...text, ...(hex ? hexLines(view) : [])].join('\n')}\n\n`;
}

function hexLines(view: FunctionView): readonly string[] {
  const bytes = view.bytes.subarray(0, view.knownBytes);
  return Array.from({ length: bytes.length / BYTES_PER_LINE }, (_, row) => {
    const at = row * BYTES_PER_LINE;
    const words = Array.from(bytes.subarray(at, at + BYTES_PER_LINE), (byte) => hexDigits(byte, 2));
    return `${hexDigits(at, 2)}: ${words.join(' ')}`;
  });
}

function liveBytes(system: PciSystem, fn: TopologyFunction): Uint8Array {
  const { config } = system.function(fn.bdf);
  const bytes = new Uint8Array(config.size);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += 4) view.setUint32(at, config.read(at, 4), true);
  return bytes;
}
