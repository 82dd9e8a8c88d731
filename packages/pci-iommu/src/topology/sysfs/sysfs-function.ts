import { type Bdf, formatBdf, parseBdf, tryParseBdf } from '../bdf.ts';
import type { SriovDescription } from '../description/machine-description.ts';
import { CONFIG_SIZES } from '../lspci/config-bytes.ts';
import { decodeConfig } from '../lspci/decode-config.ts';
import { withConfig } from '../lspci/merge-functions.ts';
import { type RawBusNumbers, type RawFunction, unknownFunction } from '../lspci/raw-function.ts';
import { readResource } from './resource-rows.ts';
import type { SysfsFolder } from './sysfs-snapshot.ts';

/** What the files of one function's directory below /sys/bus/pci/devices say; what is left out was not there. */
export interface SysfsFunction {
  readonly bdf: string;
  /** Contents of `config`: 64, 256 or 4096 bytes. */
  readonly config?: Uint8Array;
  /** Contents of `resource`. */
  readonly resource?: string;
  /** Contents of `numa_node`; -1 when there is none. */
  readonly numaNode?: number;
  readonly vendor?: number;
  readonly device?: number;
  /** 24 bits. */
  readonly class?: number;
  /** Number at the end of the link `iommu_group`. */
  readonly iommuGroup?: number;
  /** Name at the end of the link `driver`. */
  readonly driver?: string;
  /** Function at the end of the link `physfn`. */
  readonly physfn?: Bdf;
  /** Contents of `reset_method`. */
  readonly resetMethods?: readonly string[];
  readonly sriov?: SriovDescription;
  /** Bus numbers as the functions below tell them. */
  readonly bus?: RawBusNumbers;
}

const PCI_BRIDGE_CLASS = 0x0604;

/**
 * A function as sysfs shows it: ids and registers from `config`, addresses and sizes from `resource`, and what neither has
 * from the other files.
 *
 * @throws TopologyError when a row of `resource` cannot be read
 */
export function rawFunctionFromSysfs(files: SysfsFunction): RawFunction {
  const bdf = formatBdf(parseBdf(files.bdf));
  const config = files.config === undefined ? null : wholeConfig(files.config);
  const isBridge =
    config === null ? (files.class ?? 0) >>> 8 === PCI_BRIDGE_CLASS : decodeConfig(config).headerType === 1;
  const resource = files.resource === undefined ? null : readResource(files.resource, isBridge);
  const base: RawFunction = {
    ...unknownFunction(bdf, 0),
    vendor: files.vendor ?? null,
    device: files.device ?? null,
    class: files.class ?? null,
    headerType: isBridge ? 1 : null,
    barsShown: resource !== null,
    bars: resource?.bars ?? [],
    rom: resource?.rom ?? null,
    bus: files.bus ?? null,
    windows: resource?.windows ?? [],
    flr: files.resetMethods?.some((method) => method === 'flr' || method === 'af_flr') ?? null,
    sriov: files.sriov ?? null,
    numaNode: files.numaNode === undefined || files.numaNode < 0 ? null : files.numaNode,
    iommuGroup: files.iommuGroup ?? null,
    driver: files.driver ?? null,
    ...(files.physfn === undefined ? {} : { physfn: files.physfn }),
  };
  if (config === null) return base;
  const merged = withConfig(base, config);
  return { ...merged, bars: resource?.bars ?? merged.bars };
}

/** Reads a function's folder. */
export function readSysfsFolder(bdf: Bdf, folder: SysfsFolder): SysfsFunction {
  const text = (name: string): string | undefined => {
    const bytes = folder.read(name);
    return bytes === null ? undefined : new TextDecoder().decode(bytes).trim();
  };
  const number = (name: string): number | undefined => {
    const value = text(name);
    return value === undefined || Number.isNaN(Number(value)) ? undefined : Number(value);
  };
  const group = folder.link('iommu_group');
  const physfn = tryParseBdf(folder.link('physfn') ?? '');
  const config = folder.read('config');
  return withoutUndefined({
    bdf,
    config: config === null || config.length < (CONFIG_SIZES[0] ?? 0) ? undefined : config,
    resource: text('resource'),
    numaNode: number('numa_node'),
    vendor: number('vendor'),
    device: number('device'),
    class: number('class'),
    iommuGroup: group === null || Number.isNaN(Number(group)) ? undefined : Number(group),
    driver: folder.link('driver') ?? undefined,
    physfn: physfn === undefined ? undefined : formatBdf(physfn),
    resetMethods: text('reset_method')?.split(/\s+/u),
    sriov: sriovOf(text, number),
  });
}

function sriovOf(
  text: (name: string) => string | undefined,
  number: (name: string) => number | undefined,
): SriovDescription | undefined {
  const totalVfs = number('sriov_totalvfs');
  const numVfs = number('sriov_numvfs');
  const vfOffset = number('sriov_offset');
  const vfStride = number('sriov_stride');
  if (totalVfs === undefined || numVfs === undefined || vfOffset === undefined || vfStride === undefined)
    return undefined;
  // The one number that the kernel prints in hex without saying so.
  const vfDevice = Number.parseInt(text('sriov_vf_device') ?? '', 16);
  return { totalVfs, numVfs, vfOffset, vfStride, vfDevice: Number.isNaN(vfDevice) ? null : vfDevice };
}

/** The bytes up to the largest size in which config space is dumped. */
function wholeConfig(bytes: Uint8Array): Uint8Array {
  const size = CONFIG_SIZES.findLast((candidate) => candidate <= bytes.length) ?? 0;
  return bytes.subarray(0, size);
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>;
}
