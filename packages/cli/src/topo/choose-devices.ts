import { type Topology, type TopologyFunction, tryParseBdf } from '@dmabuf-emu/pci-iommu';
import { UsageError } from '@dmabuf-emu/shm';
import { CATEGORIES, type Category, categoryOf, isEndpoint } from './category.ts';

/** A function that is asked about, by the short name that tables use. */
export interface ChosenDevice {
  readonly fn: TopologyFunction;
  /** `GPU0`, `NIC3`; the description's own name where it has one. */
  readonly label: string;
  readonly category: Category | null;
}

/** Without a class anywhere, that many ends of paths still make a readable table. */
const MAX_UNCLASSED = 32;
const PREFIX: Readonly<Record<Category, string>> = { gpu: 'GPU', nic: 'NIC', nvme: 'NVME', accel: 'ACC' };
const SHORT_NAME = /^[a-z]{1,6}\d{1,3}$/iu;

/**
 * The functions that a list names: categories, `all`, names of functions.
 *
 * @param list - as typed; without it GPUs, NICs, NVMe disks and accelerators, no virtual functions
 * @throws UsageError naming the part of the list that is neither
 */
export function chooseDevices(topology: Topology, list: string | undefined): readonly ChosenDevice[] {
  const chosen = list === undefined ? interesting(topology) : listed(topology, list);
  return labelled(
    topology,
    [...chosen].toSorted((a, b) => a.index - b.index),
  );
}

function interesting(topology: Topology): ReadonlySet<TopologyFunction> {
  const found = topology.functions.filter((fn) => !fn.isVirtualFunction && categoryOf(fn) !== null);
  if (found.length > 0) return new Set(found);
  const unclassed = topology.functions.filter((fn) => isEndpoint(fn) && fn.classCode === null);
  return new Set(unclassed.length <= MAX_UNCLASSED ? unclassed : []);
}

function listed(topology: Topology, list: string): ReadonlySet<TopologyFunction> {
  const chosen = new Set<TopologyFunction>();
  for (const part of list.split(',').map((text) => text.trim())) {
    for (const fn of named(topology, part)) chosen.add(fn);
  }
  return chosen;
}

function named(topology: Topology, part: string): readonly TopologyFunction[] {
  if (part === 'all') return topology.functions.filter((fn) => isEndpoint(fn));
  const category = CATEGORIES.find((name) => name === part.toLowerCase());
  if (category !== undefined) return topology.functions.filter((fn) => categoryOf(fn) === category);
  const own = byName(topology, part);
  if (own !== undefined) return [own];
  if (tryParseBdf(part) === undefined) {
    const kinds = `${CATEGORIES.join(', ')}, all`;
    throw new UsageError(
      `--devices: expected ${kinds} or functions such as 0000:41:00.0 or gpu0, got ${JSON.stringify(part)}`,
    );
  }
  return [functionOf(topology, '--devices', part)];
}

/**
 * The function that an option names: by its address, by the label that tables give it, or by the name in its description.
 *
 * @throws UsageError naming the option
 */
export function functionOf(topology: Topology, option: string, text: string): TopologyFunction {
  const own = byName(topology, text);
  if (own !== undefined) return own;
  if (tryParseBdf(text) === undefined) {
    throw new UsageError(`${option}: expected a function such as 0000:41:00.0 or gpu0, got ${JSON.stringify(text)}`);
  }
  try {
    return topology.function(text);
  } catch (error) {
    throw new UsageError(`${option}: ${(error as Error).message}`);
  }
}

function byName(topology: Topology, text: string): TopologyFunction | undefined {
  const described = topology.functions.find((fn) => fn.description.name === text);
  if (described !== undefined) return described;
  const wanted = text.toUpperCase();
  return [...numbered(topology).labels].find(([, label]) => label === wanted)?.[0];
}

/**
 * Functions with their labels: the description's own names, else numbers within a category, which are the same whatever else
 * is asked about. Functions without a category are numbered among themselves.
 */
export function labelled(topology: Topology, functions: readonly TopologyFunction[]): readonly ChosenDevice[] {
  const { labels, next } = numbered(topology);
  return functions.map((fn) => ({ fn, category: categoryOf(fn), label: labels.get(fn) ?? next('DEV') }));
}

interface Numbered {
  readonly labels: ReadonlyMap<TopologyFunction, string>;
  /** The next free label with a prefix. */
  readonly next: (prefix: string) => string;
}

/** The labels of a machine; virtual functions are numbered after all others. */
function numbered(topology: Topology): Numbered {
  const taken = new Set(topology.functions.flatMap((fn) => ownLabel(fn) ?? []));
  const counts = new Map<string, number>();
  const next = (prefix: string): string => {
    let at = counts.get(prefix) ?? 0;
    while (taken.has(`${prefix}${at}`)) at++;
    counts.set(prefix, at + 1);
    return `${prefix}${at}`;
  };
  const physical = topology.functions.filter((fn) => !fn.isVirtualFunction);
  const virtual = topology.functions.filter((fn) => fn.isVirtualFunction);
  const labels = new Map<TopologyFunction, string>();
  for (const fn of [...physical, ...virtual]) {
    const category = categoryOf(fn);
    const label = ownLabel(fn) ?? (category === null ? undefined : next(PREFIX[category]));
    if (label !== undefined) labels.set(fn, label);
  }
  return { labels, next };
}

function ownLabel(fn: TopologyFunction): string | undefined {
  const { name } = fn.description;
  return name !== undefined && SHORT_NAME.test(name) ? name.toUpperCase() : undefined;
}
