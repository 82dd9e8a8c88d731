import { formatBdf, parseBdf } from '../bdf.ts';
import { decodeConfig } from '../lspci/decode-config.ts';
import { withConfig } from '../lspci/merge-functions.ts';
import { type RawBar, type RawFunction, unknownFunction } from '../lspci/raw-function.ts';
import { TopologyError } from '../topology-error.ts';

/** The files of one function's directory below /sys/bus/pci/devices. */
export interface SysfsFunction {
  readonly bdf: string;
  /** Contents of `config`: 64, 256 or 4096 bytes. */
  readonly config: Uint8Array;
  /** Contents of `resource`. */
  readonly resource: string;
  /** Contents of `numa_node`; -1 when there is none. */
  readonly numaNode?: number;
}

const RESOURCE_PATTERN = /^0x([0-9a-f]{16}) 0x([0-9a-f]{16}) 0x([0-9a-f]{16})$/iu;
const BAR_COUNT = 6;
const ROM_ROW = 6;
const FLAG_IO = 0x100;
const FLAG_PREFETCH = 0x2000;
const FLAG_MEM_64 = 0x10_0000;

/**
 * A function as sysfs shows it: ids and registers from `config`, addresses and sizes from `resource`.
 *
 * @throws TopologyError when a row of `resource` cannot be read
 * @kernel resource_show, IORESOURCE_IO, IORESOURCE_PREFETCH, IORESOURCE_MEM_64
 */
export function rawFunctionFromSysfs(files: SysfsFunction): RawFunction {
  const bdf = formatBdf(parseBdf(files.bdf));
  const rows = files.resource.trim().split('\n');
  const isBridge = decodeConfig(files.config).headerType === 1;
  const bars = rows.slice(0, isBridge ? 2 : BAR_COUNT).flatMap((row, index) => barOf(row, index));
  const rom = isBridge ? undefined : rangeOf(rows[ROM_ROW] ?? '', ROM_ROW);
  const base: RawFunction = {
    ...unknownFunction(bdf, 0),
    bars,
    rom: rom === undefined ? null : { address: rom.start, size: rom.end - rom.start + 1 },
    numaNode: files.numaNode === undefined || files.numaNode < 0 ? null : files.numaNode,
  };
  const merged = withConfig(base, files.config);
  return { ...merged, bars };
}

function barOf(row: string, index: number): readonly RawBar[] {
  const range = rangeOf(row, index);
  if (range === undefined) return [];
  const isIo = (range.flags & FLAG_IO) !== 0;
  return [
    {
      index,
      address: range.start,
      size: range.end - range.start + 1,
      kind: isIo ? 'io' : (range.flags & FLAG_MEM_64) === 0 ? 'mem32' : 'mem64',
      prefetchable: !isIo && (range.flags & FLAG_PREFETCH) !== 0,
      flags: [],
    },
  ];
}

function rangeOf(row: string, index: number): { start: number; end: number; flags: number } | undefined {
  if (row === '') return undefined;
  const match = RESOURCE_PATTERN.exec(row.trim());
  if (match === null) {
    throw new TopologyError(`expected "0xSTART 0xEND 0xFLAGS" in resource, got ${JSON.stringify(row)}`, {
      line: index + 1,
    });
  }
  const [start, end, flags] = [match[1], match[2], match[3]].map((digits) => Number.parseInt(digits ?? '', 16));
  if (start === undefined || end === undefined || flags === undefined || end === 0) return undefined;
  return { start, end, flags };
}
