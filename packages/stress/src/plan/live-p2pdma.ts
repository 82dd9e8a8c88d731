import { ACS_REDIRECT_MASK, acsStateOf, P2pdma, type Topology, type TopologyFunction } from '@dmabuf-emu/pci-iommu';
import type { AcsMode } from '../scenario/scenario.ts';

/** Functions that are told to let requests to peers pass: `pci=disable_acs_redir=`. */
export function directFunctions(topology: Topology, acs: AcsMode): string[] {
  if (acs === 'redirect') return [];
  return topology.functions.filter(canRedirect).map(({ bdf }) => bdf);
}

/** Peer-to-peer answers as the running machine will give them: with ACS as the kernel sets it up when there is an IOMMU. */
export function liveP2pdma(topology: Topology, acs: AcsMode): P2pdma {
  const setup = { iommu: true, disableAcsRedir: directFunctions(topology, acs) };
  return new P2pdma(topology, { acs: acsStateOf(topology, setup) });
}

function canRedirect({ acs }: TopologyFunction): boolean {
  return acs !== null && acs !== 'unknown' && (acs.cap & ACS_REDIRECT_MASK) !== 0;
}
