import type { KernelAcs } from '../groups/index.ts';
import { ACS_FLAG_NAMES, type FunctionKind, type Topology, type TopologyFunction } from '../topology/index.ts';

/** One function on the way from a provider to a client. */
export interface P2pHop {
  readonly function: TopologyFunction;
  readonly role: 'provider' | 'bridge' | 'common' | 'client';
  readonly kind: FunctionKind;
  /** ACS control bits that are on, as `lspci` names them; `null` without the capability. */
  readonly acs: readonly string[] | null | 'unknown';
  /** Whether it sends peer-to-peer traffic up to the host bridge. */
  readonly redirects: boolean | 'unknown';
  /** Whether the kernel looks at this function's ACS on this way; it does not above a bridge that both are below. */
  readonly counts: boolean;
  /** Whether the verdict follows from this function. */
  readonly decides: boolean;
}

/** The way between two functions: up from the provider, down to the client. */
export interface P2pPath {
  readonly common: TopologyFunction | null;
  /** Without a common bridge: root buses of the two that may be behind any bridge, for the description shows none that leads there. */
  readonly unplaced: readonly string[];
  readonly distance: number;
  readonly hops: readonly P2pHop[];
}

/** The way between two functions, and what ACS does on it. */
export function p2pPath(
  topology: Topology,
  provider: TopologyFunction,
  client: TopologyFunction,
  acs: KernelAcs,
): P2pPath {
  const up = topology.pathToRoot(provider);
  const down = topology.pathToRoot(client);
  const common = topology.commonBridge(provider, client);
  const above = common === null ? up.length : up.indexOf(common) + 1;
  const below = common === null ? down.length : down.indexOf(common);
  const steps = [...up.slice(0, above), ...down.slice(0, below).toReversed()];
  const roots = [...new Set([provider.hostBridge, client.hostBridge])];
  return {
    common,
    unplaced: common === null ? roots.filter(({ assumed }) => assumed).map(({ name }) => name) : [],
    distance: common === null ? up.length + down.length : above - 1 + below,
    hops: steps.map((fn) => {
      const redirects = acs.redirection(fn);
      return {
        function: fn,
        role: fn === provider ? 'provider' : fn === client ? 'client' : fn === common ? 'common' : 'bridge',
        kind: fn.kind,
        acs: flagsOf(fn, acs),
        redirects,
        counts: common !== null || fn.hostBridge.assumed,
        decides: (common !== null || fn.hostBridge.assumed) && redirects !== false,
      };
    }),
  };
}

function flagsOf(fn: TopologyFunction, acs: KernelAcs): P2pHop['acs'] {
  const word = acs.control(fn);
  if (word === null) return null;
  if (word.known === 0) return 'unknown';
  return ACS_FLAG_NAMES.filter((_name, bit) => (word.value & (1 << bit)) !== 0);
}
