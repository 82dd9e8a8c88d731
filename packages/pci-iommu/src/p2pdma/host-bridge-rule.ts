import {
  type CpuDescription,
  type HostBridge,
  PcieType,
  type Topology,
  type TopologyFunction,
} from '../topology/index.ts';
import { HOST_BRIDGE_WHITELIST, type WhitelistRow } from './host-bridge-whitelist.ts';

/** AMD family from which on host bridges forward. */
export const FIRST_ZEN_FAMILY = 0x17;

/**
 * Whether the processor forwards peer-to-peer traffic between any two of its host bridges: AMD Zen and later.
 *
 * @kernel cpu_supports_p2pdma
 */
export function cpuSupportsP2P(cpu: CpuDescription): boolean {
  return cpu.vendor === 'AMD' && cpu.family !== null && cpu.family >= FIRST_ZEN_FAMILY;
}

/**
 * The function by which a host bridge is recognised: the first one on its root bus, if it is 00.0 or a root port.
 *
 * @kernel pci_host_bridge_dev
 */
export function hostBridgeDevice(topology: Topology, hostBridge: HostBridge): TopologyFunction | null {
  const first = topology.rootBusFunctions(hostBridge)[0];
  if (first === undefined) return null;
  return first.devfn === 0 || first.pcieType === PcieType.RootPort ? first : null;
}

/**
 * Whether the list of known host bridges allows traffic between two functions that share no bridge.
 *
 * The provider's host bridge is asked first, the client's only if that one passed and is another.
 *
 * @kernel host_bridge_whitelist
 */
export function hostBridgeWhitelisted(
  topology: Topology,
  provider: TopologyFunction,
  client: TopologyFunction,
  list: readonly WhitelistRow[] = HOST_BRIDGE_WHITELIST,
): boolean {
  const a = provider.hostBridge;
  const b = client.hostBridge;
  if (a === b) return isListed(topology, a, true, list);
  return isListed(topology, a, false, list) && isListed(topology, b, false, list);
}

function isListed(topology: Topology, hostBridge: HostBridge, same: boolean, list: readonly WhitelistRow[]): boolean {
  const device = hostBridgeDevice(topology, hostBridge);
  if (device === null) return false;
  const row = list.find(
    (candidate) =>
      candidate.vendor === device.vendor && (candidate.device === null || candidate.device === device.device),
  );
  return row !== undefined && (same || !row.sameHostBridge);
}
