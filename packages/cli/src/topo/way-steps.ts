import type { P2pExplanation, P2pHop } from '@dmabuf-emu/pci-iommu';
import { kindWord } from './function-facts.ts';
import type { MachineView } from './machine-view.ts';

/** One step of the way between two functions, in words. */
export interface WayStep {
  readonly role: string;
  readonly name: string;
  readonly kind: string;
  /** What its ACS registers say; empty for host bridges. */
  readonly acs: string;
  /** How it decides the verdict; empty when it does not. */
  readonly note: string;
}

const ROLES: Readonly<Record<P2pHop['role'], string>> = {
  provider: 'memory of',
  bridge: '',
  common: 'common',
  client: 'reached by',
};

/** The way from the memory up and down to the one that reaches it, over the host bridges where it goes or may go that far. */
export function waySteps(view: MachineView, { path, type }: P2pExplanation): readonly WayStep[] {
  const steps = path.map((hop) => hopStep(hop, type));
  const first = path[0];
  if (first === undefined || type === 'BUS_ADDR') return steps;
  const common = path.findIndex(({ role }) => role === 'common');
  const alone = path.length === 1;
  const at = alone ? 1 : common < 0 ? view.topology.pathToRoot(first.function).length : common + 1;
  const roots = [first, path.at(-1)!].map((hop) => hop.function.hostBridge.name);
  const top: WayStep = {
    role: common >= 0 && type === 'UNKNOWN' ? 'or turns at' : 'turns at',
    name: roots[0] === roots[1] ? roots[0]! : `${roots[0]} and ${roots[1]}`,
    kind: roots[0] === roots[1] ? 'host bridge' : 'host bridges',
    acs: '',
    note: type === 'NOT_SUPPORTED' ? 'does not forward' : '',
  };
  return [...steps.slice(0, at), top, ...steps.slice(at)];
}

function hopStep(hop: P2pHop, type: P2pExplanation['type']): WayStep {
  return {
    role: hop.role === 'common' && type === 'BUS_ADDR' ? 'turns at' : ROLES[hop.role],
    name: hop.function.bdf,
    kind: kindWord(hop.kind),
    acs: acsWords(hop),
    note: noteOf(hop),
  };
}

function acsWords({ acs }: P2pHop): string {
  if (acs === null) return 'no ACS';
  if (acs === 'unknown') return 'ACS ?';
  return acs.length === 0 ? 'ACS off' : `ACS ${acs.join(' ')}`;
}

function noteOf({ decides, redirects }: P2pHop): string {
  if (!decides) return '';
  return redirects === 'unknown' ? 'not known whether it redirects' : 'redirects to the root';
}
