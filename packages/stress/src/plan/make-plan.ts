import { type P2pdma, PAGE_SIZE, type Topology, type TopologyFunction } from '@dmabuf-emu/pci-iommu';
import { Random } from '@dmabuf-emu/shm';
import { MAX_BUFFERS, MAX_ROLES } from '../board/board-structs.ts';
import { InputError } from '../scenario/problem.ts';
import { engineKinds, ROGUE_KINDS, type ExporterPlan, type ImporterKind, type Scenario } from '../scenario/scenario.ts';
import { liveP2pdma } from './live-p2pdma.ts';
import { placeEngines } from './place-engines.ts';
import { peersOf, placeExporters } from './place-exporter.ts';
import {
  accepts,
  GUARD_PAGES,
  type BufferPlan,
  type ControllerPlan,
  type EnginePlan,
  type RunPlan,
  type UsePlan,
} from './run-plan.ts';

/**
 * Puts a scenario on a machine: which function plays what, which buffers there are, who uses which pages. A pure function of
 * its arguments.
 * @throws InputError when the scenario asks for more than the machine has.
 */
export function makePlan(topology: Topology, scenario: Scenario): RunPlan {
  const kinds = engineKinds(scenario);
  const names = nameEngines(kinds);
  const layouts = scenario.exporters.map((plan) => layOut(plan, kinds, names));
  const buffers: BufferPlan[] = [];
  const uses: UsePlan[][] = kinds.map(() => []);
  const p2p = liveP2pdma(topology, scenario.acs);
  const wishes = layouts.map(({ plan, pages }) => ({ kind: plan.kind, pages }));
  const exporters = placeExporters(topology, p2p, wishes, kinds.length);
  const controllers = layouts.map(({ plan, requests }, role) => {
    const { fn, bar } = exporters[role]!;
    let offset = 0;
    const own = requests.map((request) => {
      const buffer: BufferPlan = { ...request.buffer, index: buffers.length, bdf: fn.bdf, offset };
      offset += (buffer.pages + GUARD_PAGES) * PAGE_SIZE;
      buffers.push(buffer);
      for (const { engine, slice } of request.users) uses[engine]!.push({ buffer, slice });
      return buffer;
    });
    return { role, name: plan.kind, kind: plan.kind, fn, region: bar.index, buffers: own };
  });
  checkLimits(buffers.length, kinds.length + controllers.length);
  const places = placeEngines(
    topology,
    p2p,
    kinds,
    controllers.map(({ fn }) => fn),
  );
  const random = new Random(scenario.seed).fork('rogue');
  return {
    buffers,
    controllers: controllers.map(({ fn, ...controller }): ControllerPlan => {
      return { ...controller, bdf: fn.bdf, witness: findWitness(topology, p2p, fn) };
    }),
    engines: kinds.map((kind, i): EnginePlan => {
      const rogue = kind === 'rogue' ? { rogue: scenario.rogue ?? random.pick(ROGUE_KINDS) } : {};
      const base = { role: controllers.length + i, name: names[i]!, kind, bdf: places[i]!.bdf, uses: uses[i]! };
      return { ...base, ...rogue };
    }),
  };
}

interface Request {
  readonly buffer: Omit<BufferPlan, 'index' | 'bdf' | 'offset'>;
  readonly users: readonly { readonly engine: number; readonly slice: UsePlan['slice'] }[];
}

/** The buffers of one exporter, without their places. */
function layOut(
  plan: ExporterPlan,
  kinds: readonly ImporterKind[],
  names: readonly string[],
): { plan: ExporterPlan; requests: Request[]; pages: number } {
  const accepted = kinds.flatMap((kind, engine) => (accepts(plan.kind, kind) ? [engine] : []));
  const exporter = plan.kind;
  const requests: Request[] = Array.from({ length: plan.shared }, (_, n) => ({
    buffer: { name: `${exporter}/shared${n}`, exporter, pages: Math.max(plan.pages, accepted.length), ranges: 1 },
    users: kinds.map((_kind, engine) => ({
      engine,
      slice: { index: Math.max(0, accepted.indexOf(engine)), count: accepted.includes(engine) ? accepted.length : 0 },
    })),
  }));
  for (const engine of plan.own ? accepted : []) {
    const contiguous = exporter === 'rdma' || plan.pages === 1 || ['iommufd', 'rogue'].includes(kinds[engine]!);
    requests.push({
      buffer: { name: `${exporter}/${names[engine]}`, exporter, pages: plan.pages, ranges: contiguous ? 1 : 2 },
      users: [{ engine, slice: { index: 0, count: 1 } }],
    });
  }
  return { plan, requests, pages: requests.reduce((sum, { buffer }) => sum + buffer.pages + GUARD_PAGES, 0) };
}

/** `odp0`, `odp1`, `gpu0`. */
function nameEngines(kinds: readonly ImporterKind[]): string[] {
  const counts = new Map<ImporterKind, number>();
  return kinds.map((kind) => {
    const n = counts.get(kind) ?? 0;
    counts.set(kind, n + 1);
    return `${kind}${n}`;
  });
}

function checkLimits(buffers: number, roles: number): void {
  const problems = [
    { where: 'exporters', n: buffers, limit: MAX_BUFFERS, what: 'buffers' },
    { where: 'importers', n: roles, limit: MAX_ROLES, what: 'exporters and importers' },
  ].filter(({ n, limit }) => n > limit);
  if (problems.length === 0) return;
  throw new InputError(
    'scenario',
    problems.map(({ where, n, limit, what }) => ({ where, text: `expected at most ${limit} ${what}, got ${n}` })),
  );
}

/** Any function that may map the exporter's BARs; the exporter's own when there is no other. */
function findWitness(topology: Topology, p2p: P2pdma, exporter: TopologyFunction): string {
  const [peer = exporter] = peersOf(topology, p2p, exporter);
  return peer.bdf;
}
