import { type AcsState, describedAcs, type Topology, type TopologyFunction } from '../topology/index.ts';
import { cpuSupportsP2P, hostBridgeWhitelisted } from './host-bridge-rule.ts';
import { type WhitelistRow } from './host-bridge-whitelist.ts';
import { P2pMapType } from './map-type.ts';

/** What the walk between two functions found. */
export interface MapTypeAndDistance {
  readonly mapType: P2pMapType;
  /** Number of hops, counted whether or not the traffic is allowed. */
  readonly distance: number;
}

/** How far apart two functions are, and the redirects on the way. */
interface Walk {
  readonly common: boolean;
  readonly redirects: number;
  readonly distance: number;
}

/**
 * How a client must address a provider's BARs, and how many hops they are apart.
 *
 * Redirecting ACS anywhere on the provider's side up to and including the common bridge, or on the client's side below
 * it, sends the traffic to the host bridge, which must then be one that forwards it.
 *
 * @param acs - the live ACS state; by default what the description shows
 * @param whitelist - host bridges known to forward; by default the kernel's list
 * @kernel calc_map_type_and_dist
 */
export function calcMapTypeAndDistance(
  topology: Topology,
  provider: TopologyFunction,
  client: TopologyFunction,
  acs: AcsState = describedAcs,
  whitelist?: readonly WhitelistRow[],
): MapTypeAndDistance {
  const walk = walkBetween(topology, provider, client, acs);
  if (walk.common && walk.redirects === 0) return { mapType: P2pMapType.BUS_ADDR, distance: walk.distance };
  const allowed =
    cpuSupportsP2P(topology.description.cpu) || hostBridgeWhitelisted(topology, provider, client, whitelist);
  return {
    mapType: allowed ? P2pMapType.THRU_HOST_BRIDGE : P2pMapType.NOT_SUPPORTED,
    distance: walk.distance,
  };
}

function walkBetween(topology: Topology, provider: TopologyFunction, client: TopologyFunction, acs: AcsState): Walk {
  let redirects = 0;
  let fromProvider = 0;
  let fromClient = 0;
  for (let a: TopologyFunction | null = provider; a !== null; a = topology.upstreamBridge(a)) {
    if (acs.redirects(a)) redirects++;
    fromClient = 0;
    for (let b: TopologyFunction | null = client; b !== null; b = topology.upstreamBridge(b)) {
      if (a === b) {
        redirects += redirectsBelow(topology, client, a, acs);
        return { common: true, redirects, distance: fromProvider + fromClient };
      }
      fromClient++;
    }
    fromProvider++;
  }
  return { common: false, redirects, distance: fromProvider + fromClient };
}

/** Redirects from the client up to, but without, the common bridge. */
function redirectsBelow(topology: Topology, client: TopologyFunction, common: TopologyFunction, acs: AcsState): number {
  let redirects = 0;
  for (let b: TopologyFunction | null = client; b !== null && b !== common; b = topology.upstreamBridge(b)) {
    if (acs.redirects(b)) redirects++;
  }
  return redirects;
}
