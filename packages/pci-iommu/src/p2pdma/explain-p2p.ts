import { acsStateOf, type KernelAcs } from '../groups/index.ts';
import type { Topology, TopologyFunction } from '../topology/index.ts';
import { findRemedies } from './find-remedies.ts';
import { type Judgement, judgeHostBridges } from './host-bridge-judgement.ts';
import { type P2pHop, type P2pPath, p2pPath } from './p2p-path.ts';
import type { P2pSetup, P2pVerdict } from './p2p-setup.ts';

/** A verdict with its reasons. */
export interface P2pExplanation {
  readonly type: P2pVerdict;
  /** Number of hops, counted whether or not the traffic is allowed. */
  readonly distance: number;
  /** The way up from the provider and down to the client. */
  readonly path: readonly P2pHop[];
  /** Why, in one sentence. */
  readonly because: string;
  /** What is not known and decides; empty unless the verdict is `UNKNOWN`. */
  readonly restsOn: readonly string[];
  /** What would change the verdict; each was tried. */
  readonly remedies: readonly string[];
}

/**
 * Whether and how a client reaches a provider's BARs by peer-to-peer DMA, and why.
 *
 * @throws TopologyError for parameters in `setup` that cannot be read
 * @example
 * explainP2p(topology, topology.function('41:00.0'), topology.function('42:00.0'), { iommu: true }).because;
 */
export function explainP2p(
  topology: Topology,
  provider: TopologyFunction,
  client: TopologyFunction,
  setup: P2pSetup,
): P2pExplanation {
  const verdict = judge(topology, provider, client, setup);
  const remedies = findRemedies(verdict, setup, (changed) => judge(topology, provider, client, changed).type);
  return { ...verdict, remedies };
}

type Verdict = Omit<P2pExplanation, 'remedies'>;

/** Whoever asks for many pairs gives the same setup each time. */
const STATES = new WeakMap<Topology, WeakMap<P2pSetup, KernelAcs>>();

function stateOf(topology: Topology, setup: P2pSetup): KernelAcs {
  let states = STATES.get(topology);
  if (states === undefined) STATES.set(topology, (states = new WeakMap()));
  let state = states.get(setup);
  if (state === undefined) states.set(setup, (state = acsStateOf(topology, setup)));
  return state;
}

function judge(topology: Topology, provider: TopologyFunction, client: TopologyFunction, setup: P2pSetup): Verdict {
  const path = p2pPath(topology, provider, client, stateOf(topology, setup));
  const redirected = redirection(path);
  const base = { distance: path.distance, path: path.hops };
  if (redirected.answer === false) return { type: 'BUS_ADDR', ...base, because: redirected.because, restsOn: [] };
  const host = judgeHostBridges(topology, provider, client, setup.whitelist);
  const because = `${redirected.because}; ${host.because}`;
  if (redirected.answer === true && host.answer !== 'unknown') {
    return { type: host.answer ? 'THRU_HOST_BRIDGE' : 'NOT_SUPPORTED', ...base, because, restsOn: [] };
  }
  return { type: 'UNKNOWN', ...base, because, restsOn: [...new Set([...redirected.restsOn, ...host.restsOn])] };
}

/** Whether the traffic goes up to the host bridge. */
function redirection({ common, unplaced, hops }: P2pPath): Judgement {
  if (common === null && unplaced.length === 0) return { answer: true, because: 'they share no bridge', restsOn: [] };
  const sure = hops.filter(({ counts, redirects }) => counts && redirects === true);
  if (sure.length > 0) {
    const names = sure.map((hop) => `${redirectName(hop)} on ${hop.function.bdf}`);
    return { answer: true, because: `${listed(names)} ${sure.length > 1 ? 'send' : 'sends'} it up`, restsOn: [] };
  }
  if (common === null) {
    return {
      answer: 'unknown',
      because: `it is not known which bridge is above bus ${unplaced.join(' and ')}`,
      restsOn: unplaced.map((name) => `the bridge above bus ${name}`),
    };
  }
  const open = hops.filter(({ redirects }) => redirects === 'unknown').map((hop) => hop.function.bdf);
  if (open.length > 0) {
    return {
      answer: 'unknown',
      because: `it is not known whether ${listed(open, 'or')} ${open.length > 1 ? 'redirect' : 'redirects'} it`,
      restsOn: open.map((bdf) => `ACS of ${bdf}`),
    };
  }
  const where = hops.length === 1 ? 'the function is its own peer' : `${common.bdf} (${common.kind}) is above both`;
  return { answer: false, because: `${where} and nothing on the way redirects`, restsOn: [] };
}

const REDIRECT_NAMES = [
  ['ReqRedir', 'request redirect'],
  ['CmpltRedir', 'completion redirect'],
  ['EgressCtrl', 'egress control'],
] as const;

function redirectName({ acs }: P2pHop): string {
  const names = acs === null || acs === 'unknown' ? [] : acs;
  return REDIRECT_NAMES.find(([flag]) => names.includes(flag))?.[1] ?? 'a redirect';
}

function listed(names: readonly string[], word = 'and'): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`;
}
