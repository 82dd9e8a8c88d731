import { expect } from 'vitest';
import { acsStateOf, type AcsSetup, type KernelAcs } from '../../groups/index.ts';
import { calcMapTypeAndDistance, P2pMapType } from '../../p2pdma/index.ts';
import { AcsBit, isDecodedMemory, type Topology, type TopologyFunction } from '../../topology/index.ts';
import { Router, type RouteRegisters, type RouteTable, DESCRIBED_REGISTERS } from './index.ts';

/** What a comparison of the kernel's verdicts with the way of packets saw. */
export interface Agreement {
  pairs: number;
  bus: number;
  translated: number;
  direct: number;
  refused: number;
  /** Verdicts that hardware does not bear out: redirected to a port that does not forward upwards what comes from below. */
  unforwarded: number;
}

export function noAgreement(): Agreement {
  return { pairs: 0, bus: 0, translated: 0, direct: 0, refused: 0, unforwarded: 0 };
}

const PAGE = 4096;

/** Addresses that a host bridge does not have in its windows, from the top of 32 and of 48 bits down: where IOVAs are. */
function iovasOf({ hostBridge }: TopologyFunction): readonly number[] {
  return [2 ** 32, 2 ** 48].map((limit) => {
    let at = limit - PAGE;
    for (let window; (window = hostBridge.windowOfBusAddress(at)) !== undefined;)
      at = window.start + window.busOffset - PAGE;
    return at;
  });
}

/**
 * Compares, for every memory BAR and every function that may want it, the kernel's verdict with the way that packets take.
 * Fails at the first pair that does not agree.
 */
export function expectAgreement(topology: Topology, setup: AcsSetup, seen: Agreement): void {
  const acs = acsStateOf(topology, setup);
  const registers: RouteRegisters = { ...DESCRIBED_REGISTERS, acs: (fn) => acs.control(fn)?.value ?? 0 };
  const router = new Router(topology, registers, () => 0);
  const providers = topology.functions.filter((fn) => fn.bars.some((bar) => isDecodedMemory(bar)));
  for (const client of topology.functions) {
    if (client.isBridge || client.kind === 'host-bridge') continue;
    const table = router.tableOf(client);
    for (const provider of providers) expectPair(new Pair(topology, acs, client, provider), table, router, setup, seen);
  }
}

function expectPair(pair: Pair, table: RouteTable, router: Router, setup: AcsSetup, seen: Agreement): void {
  const { client, provider } = pair;
  const { mapType } = calcMapTypeAndDistance(pair.topology, provider, client, pair.acs);
  const name = `${client.bdf} -> ${provider.bdf}`;
  const way = pair.way();
  seen.pairs++;
  for (const bar of provider.bars.filter((one) => isDecodedMemory(one))) {
    const bus = pair.topology.busAddress(provider.hostBridge, bar.start);
    for (const address of [bus, bus + bar.size - 1]) {
      const range = table.find(address);
      const found = range === null ? 'root' : range.target === null ? 'refused' : 'direct';
      const isThere = range === null || range.target === null || (range.target === provider && range.bar === bar.index);
      if (found !== way || !isThere) expect(`${name}: ${found}`).toBe(`${name}: ${way}`);
      if (range !== null && way === 'direct' && range.offset !== bar.start - bus)
        expect(range.offset).toBe(bar.start - bus);
    }
    if (mapType !== P2pMapType.THRU_HOST_BRIDGE) continue;
    if (!router.gateTo(provider).open) expect(`${name}: not reached from the root complex`).toBe('');
    const untranslated =
      bus === bar.start && way !== 'root' ? way : table.find(bar.start) === null ? 'root' : 'refused';
    for (const iova of setup.iommu ? iovasOf(client) : [])
      if (table.find(iova) !== null) expect(`${name}: IOVA`).toBe('free');
    if (!setup.iommu && untranslated === 'refused') seen.unforwarded++;
  }
  if (mapType === P2pMapType.BUS_ADDR && way !== 'direct') expect(`${name}: BUS_ADDR, ${way}`).toBe('direct');
  if (mapType === P2pMapType.BUS_ADDR) seen.bus++;
  else if (mapType === P2pMapType.NOT_SUPPORTED) seen.refused++;
  else if (setup.iommu) seen.translated++;
  else seen.direct++;
}

/** A client and a provider, and the way of one packet between them told step by step. */
class Pair {
  readonly topology: Topology;
  readonly acs: KernelAcs;
  readonly client: TopologyFunction;
  readonly provider: TopologyFunction;
  readonly #above: ReadonlySet<TopologyFunction>;

  constructor(topology: Topology, acs: KernelAcs, client: TopologyFunction, provider: TopologyFunction) {
    this.topology = topology;
    this.acs = acs;
    this.client = client;
    this.provider = provider;
    this.#above = new Set(topology.pathToRoot(provider));
  }

  /** Where a packet of the client to a bus address of the provider ends: there, at the root complex, or at a port that refuses. */
  way(): 'direct' | 'root' | 'refused' {
    for (let at = this.client; ;) {
      const redirected = this.#redirects(at);
      if (!redirected && at === this.provider) return 'direct';
      const port = this.topology.upstreamBridge(at);
      if (port === null) return 'root';
      const isBeside = this.#above.has(port) && !this.#above.has(at) && port !== this.provider;
      if (!redirected && isBeside) return 'direct';
      if (this.#refuses(port, redirected)) return 'refused';
      at = port;
    }
  }

  #redirects(fn: TopologyFunction): boolean {
    const control = this.acs.control(fn)?.value ?? 0;
    return (control & AcsBit.RequestRedirect) !== 0 && (control & AcsBit.EgressControl) === 0;
  }

  /** Whether a port does not send up what is for something behind it. */
  #refuses(port: TopologyFunction, redirected: boolean): boolean {
    const isBehind = this.#above.has(port) && port !== this.provider;
    const isKnown = port.windows.some(({ kind }) => kind !== 'io');
    if (!isBehind || !isKnown || port.kind === 'root-port') return false;
    if (port.kind !== 'downstream-port') return !redirected;
    const control = this.acs.control(port)?.value ?? 0;
    return (control & (AcsBit.RequestRedirect | AcsBit.UpstreamForwarding)) === 0;
  }
}
