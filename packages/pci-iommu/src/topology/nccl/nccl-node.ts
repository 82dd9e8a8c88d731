import { type Bdf, type BdfParts, formatBdf, tryParseBdf } from '../bdf.ts';
import type { CpuDescription } from '../description/machine-description.ts';
import { cpuVendorOf } from '../sysfs/cpu-info.ts';
import { TopologyError } from '../topology-error.ts';
import type { XmlElement } from './xml-tree.ts';

/** A PCI function of a topology file: a switch when there are some below it. */
export interface NcclNode {
  readonly bdf: Bdf;
  readonly parts: BdfParts;
  readonly vendor: number | null;
  readonly device: number | null;
  readonly class: number | null;
  /** `gpu0`, `mlx5_0`; `null` when the file does not name it. */
  readonly name: string | null;
  readonly numaNode: number | null;
  readonly line: number;
  readonly children: readonly NcclNode[];
}

/** What a topology file of NCCL or RCCL holds. */
export interface NcclSystem {
  readonly cpu: CpuDescription;
  /** Functions right below a processor. */
  readonly tops: readonly NcclNode[];
}

const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ['arm64', 'ARM'],
  ['ppc64', 'IBM'],
]);
const NO_ID = 0xffff;
const MAX_NUMA_NODE = 0xffff;
const LAST_BASE_FAMILY = 0xf;

/**
 * Takes a topology file apart.
 *
 * @throws TopologyError with the line when it has no processor, or a function without a name
 */
export function readNcclSystem(system: XmlElement): NcclSystem {
  const cpus = system.children.filter((element) => element.name === 'cpu');
  const first = cpus[0];
  if (system.name !== 'system' || first === undefined) {
    throw new TopologyError('expected a topology of NCCL: <system> with <cpu> inside', { line: system.line });
  }
  const tops = cpus.flatMap((cpu) => readFunctions(cpu, numaNodeOf(cpu)));
  return { cpu: readCpu(first), tops };
}

function readCpu({ attributes }: XmlElement): CpuDescription {
  const { vendor, arch = '', familyid } = attributes;
  return {
    vendor: ARCHITECTURES.get(arch) ?? (vendor === undefined ? 'unknown' : cpuVendorOf(vendor)),
    family: vendor === undefined ? null : familyOf(Number(familyid)),
  };
}

/** NCCL writes base + (extended << 4) where the processor means base + extended; files made by hand have the true family. */
function familyOf(id: number): number | null {
  if (!Number.isInteger(id) || id < 0) return null;
  return (id & LAST_BASE_FAMILY) === LAST_BASE_FAMILY ? LAST_BASE_FAMILY + (id >> 4) : id;
}

function numaNodeOf({ attributes }: XmlElement): number | null {
  const node = Number(attributes['numaid'] ?? -1);
  return Number.isInteger(node) && node >= 0 && node <= MAX_NUMA_NODE ? node : null;
}

function readFunctions(element: XmlElement, numaNode: number | null): readonly NcclNode[] {
  return element.children.filter(({ name }) => name === 'pci').map((pci) => readFunction(pci, numaNode));
}

function readFunction(element: XmlElement, numaNode: number | null): NcclNode {
  const { attributes, line } = element;
  const parts = tryParseBdf(attributes['busid'] ?? '');
  if (parts === undefined) {
    const found = JSON.stringify(attributes['busid'] ?? '');
    throw new TopologyError(`expected busid to be a PCI function such as "0000:41:00.0", got ${found}`, { line });
  }
  return {
    bdf: formatBdf(parts),
    parts,
    vendor: idOf(attributes['vendor']),
    device: idOf(attributes['device']),
    class: numberOf(attributes['class'], 0xff_ffff),
    name: nameOf(element),
    numaNode,
    line,
    children: readFunctions(element, numaNode),
  };
}

/** `gpu0` by the number of the GPU, a network adapter by the name of its first port. */
function nameOf(element: XmlElement): string | null {
  const gpu = element.children.find(({ name }) => name === 'gpu');
  if (gpu !== undefined) return `gpu${gpu.attributes['dev'] ?? ''}`;
  const nic = element.children.find(({ name }) => name === 'nic');
  return nic?.children.find(({ name }) => name === 'net')?.attributes['name'] ?? null;
}

function idOf(text: string | undefined): number | null {
  const id = numberOf(text, NO_ID);
  return id === NO_ID ? null : id;
}

function numberOf(text: string | undefined, most: number): number | null {
  const value = text === undefined || text === '' ? Number.NaN : Number(text);
  return Number.isInteger(value) && value >= 0 && value <= most ? value : null;
}
