import { busKey, formatBus, parseBdf, requesterIdOf } from '../bdf.ts';
import { isBridgeKind } from '../pcie-type.ts';
import { TopologyError } from '../topology-error.ts';
import type { FunctionDescription, HostBridgeDescription, MachineDescription } from './machine-description.ts';

const MAX_BUS = 0xff;

/** One function together with where it stands in the description. */
interface Placed {
  readonly description: FunctionDescription;
  readonly path: string;
  readonly domain: number;
  readonly bus: number;
  readonly requesterId: number;
}

/** What the checks need to know of the whole machine. */
interface TreeFacts {
  readonly placed: readonly Placed[];
  readonly byBdf: ReadonlyMap<string, Placed>;
  /** Owner of each bus behind a bridge. */
  readonly ownerOfBus: ReadonlyMap<number, Placed>;
  /** Index of the host bridge of each root bus. */
  readonly rootBuses: ReadonlyMap<number, number>;
}

/**
 * Checks bus numbers, bridges, parents and virtual functions.
 *
 * @returns for each function the index of the host bridge that it is below
 * @throws TopologyError for duplicates, loops, buses that nothing leads to, wrong parents, VFs without PF
 */
export function checkTree(machine: MachineDescription): readonly number[] {
  const rootBuses = checkHostBridges(machine);
  const placed = placeFunctions(machine);
  const byBdf = indexByBdf(placed);
  const ownerOfBus = indexBusOwners(placed, rootBuses);
  const facts: TreeFacts = { placed, byBdf, ownerOfBus, rootBuses };
  return placed.map((fn) => {
    checkVirtualFunction(fn, facts);
    const root = checkReachable(fn, facts);
    checkParent(fn, facts);
    return root;
  });
}

function checkHostBridges(machine: MachineDescription): ReadonlyMap<number, number> {
  const roots = new Map<number, number>();
  const claimed = new Map<number, number>();
  machine.hostBridges.forEach((bridge, index) => {
    const path = `hostBridges[${index}]`;
    const end = bridge.busEnd ?? bridge.bus;
    if (end < bridge.bus) {
      throw new TopologyError(`expected a bus at or above ${bridge.bus}, got ${end}`, { path: `${path}.busEnd` });
    }
    const same = roots.get(busKey(bridge.domain, bridge.bus));
    if (same !== undefined) refuseBus(bridge, bridge.bus, same, path);
    // A bus that may be behind any bridge takes no numbers away from the others.
    for (let bus = bridge.bus; bus <= end && bridge.assumed !== true; bus++) {
      const key = busKey(bridge.domain, bus);
      const other = claimed.get(key);
      if (other !== undefined) refuseBus(bridge, bus, other, path);
      claimed.set(key, index);
    }
    roots.set(busKey(bridge.domain, bridge.bus), index);
  });
  return roots;
}

function refuseBus(bridge: HostBridgeDescription, bus: number, other: number, path: string): never {
  throw new TopologyError(
    `bus ${formatBus(bridge.domain, bus)} already belongs to hostBridges[${other}]; expected buses of its own`,
    { path },
  );
}

function placeFunctions(machine: MachineDescription): readonly Placed[] {
  return machine.functions.map((description, index) => {
    const parts = parseBdf(description.bdf);
    return {
      description,
      path: `functions[${index}]`,
      domain: parts.domain,
      bus: parts.bus,
      requesterId: requesterIdOf(parts),
    };
  });
}

function indexByBdf(placed: readonly Placed[]): ReadonlyMap<string, Placed> {
  const byBdf = new Map<string, Placed>();
  for (const fn of placed) {
    const { bdf } = fn.description;
    const other = byBdf.get(bdf);
    if (other !== undefined) {
      throw new TopologyError(`expected each function once, but ${other.path} is ${bdf} too`, {
        path: `${fn.path}.bdf`,
      });
    }
    byBdf.set(bdf, fn);
  }
  return byBdf;
}

function indexBusOwners(
  placed: readonly Placed[],
  rootBuses: ReadonlyMap<number, number>,
): ReadonlyMap<number, Placed> {
  const owners = new Map<number, Placed>();
  for (const fn of placed) {
    checkBridgeFields(fn);
    const { secondary } = fn.description;
    if (secondary === undefined) continue;
    const key = busKey(fn.domain, secondary);
    const path = `${fn.path}.secondary`;
    const bus = formatBus(fn.domain, secondary);
    if (rootBuses.has(key)) {
      throw new TopologyError(`expected a bus behind the bridge, but ${bus} is a root bus`, { path });
    }
    const other = owners.get(key);
    if (other !== undefined) {
      throw new TopologyError(`expected a bus of its own, but ${other.description.bdf} leads to ${bus} too`, { path });
    }
    owners.set(key, fn);
  }
  return owners;
}

function checkBridgeFields(fn: Placed): void {
  const { kind, secondary, subordinate, windows } = fn.description;
  const hasBus = secondary !== undefined || subordinate !== undefined;
  if (!isBridgeKind(kind)) {
    if (hasBus || windows !== undefined) {
      throw new TopologyError(`expected no bus numbers and no windows on a ${kind}`, { path: fn.path });
    }
    return;
  }
  if (!hasBus) return;
  if (secondary === undefined || subordinate === undefined) {
    throw new TopologyError('expected both secondary and subordinate, or neither', { path: fn.path });
  }
  if (subordinate < secondary) {
    throw new TopologyError(`expected at least secondary (${secondary}), got ${subordinate}`, {
      path: `${fn.path}.subordinate`,
    });
  }
}

/** Walks up to the root bus. Returns the index of its host bridge. */
function checkReachable(fn: Placed, facts: TreeFacts): number {
  const visited = new Set<Placed>();
  let current: Placed = fn;
  for (;;) {
    if (visited.has(current)) {
      const loop = [...visited, current].map((step) => step.description.bdf).join(' -> ');
      throw new TopologyError(`expected a tree, but bridges form a cycle: ${loop}`, { path: fn.path });
    }
    visited.add(current);
    const key = busKey(current.domain, current.bus);
    const root = facts.rootBuses.get(key);
    if (root !== undefined) return root;
    const owner = facts.ownerOfBus.get(key) ?? physicalFunction(current, facts);
    if (owner === undefined) {
      const bus = formatBus(current.domain, current.bus);
      throw new TopologyError(
        `nothing leads to bus ${bus}; expected a host bridge with this root bus or a bridge with secondary ${current.bus} (0x${current.bus.toString(16)})`,
        { path: `${current.path}.bdf` },
      );
    }
    checkNesting(current, owner);
    current = owner;
  }
}

/** Bus ranges nest: a bridge's secondary..subordinate lies within that of the bridge above. */
function checkNesting(fn: Placed, owner: Placed): void {
  const { secondary, subordinate } = owner.description;
  if (secondary === undefined || subordinate === undefined) return;
  const last = fn.description.subordinate ?? fn.bus;
  if (last > subordinate && last <= MAX_BUS) {
    throw new TopologyError(
      `expected bus numbers within ${secondary}..${subordinate} of ${owner.description.bdf} above, got ${last}`,
      { path: fn.path },
    );
  }
}

function checkParent(fn: Placed, facts: TreeFacts): void {
  const { parent } = fn.description;
  if (parent === undefined) return;
  const path = `${fn.path}.parent`;
  const bridge = facts.byBdf.get(parent);
  if (bridge === undefined) throw new TopologyError(`no function ${parent}; expected the bridge above`, { path });
  const expected = facts.ownerOfBus.get(busKey(fn.domain, fn.bus));
  if (bridge !== expected) {
    const right = expected === undefined ? 'no parent (root bus)' : expected.description.bdf;
    throw new TopologyError(`expected ${right}, which leads to bus ${formatBus(fn.domain, fn.bus)}, got ${parent}`, {
      path,
    });
  }
}

function physicalFunction(fn: Placed, facts: TreeFacts): Placed | undefined {
  const { physfn } = fn.description;
  return physfn === undefined ? undefined : facts.byBdf.get(physfn);
}

function checkVirtualFunction(fn: Placed, facts: TreeFacts): void {
  const { physfn, kind } = fn.description;
  const path = `${fn.path}.physfn`;
  if (physfn === undefined) {
    if (kind === 'vf') throw new TopologyError('expected the physical function of this VF, got nothing', { path });
    return;
  }
  if (kind !== 'vf') throw new TopologyError(`expected kind "vf" beside physfn, got "${kind}"`, { path });
  const owner = physicalFunction(fn, facts);
  if (owner === undefined)
    throw new TopologyError(`no function ${physfn}; expected the VF's physical function`, { path });
  if (owner.description.physfn !== undefined)
    throw new TopologyError(`expected a physical function, but ${physfn} is a VF`, { path });
  const { sriov } = owner.description;
  if (sriov === undefined) return;
  const distance = fn.requesterId - owner.requesterId - sriov.vfOffset;
  const ordinal = sriov.vfStride === 0 ? distance : distance / sriov.vfStride;
  if (owner.domain !== fn.domain || !Number.isInteger(ordinal) || ordinal < 0 || ordinal >= sriov.numVfs) {
    throw new TopologyError(
      `${fn.description.bdf} is none of the ${sriov.numVfs} VFs of ${physfn} (offset ${sriov.vfOffset}, stride ${sriov.vfStride})`,
      { path },
    );
  }
}
