import { PAGE_SIZE, type P2pdma, type Topology, type TopologyFunction } from '@dmabuf-emu/pci-iommu';
import { Random } from '@dmabuf-emu/shm';
import { MAX_BUFFERS, MAX_ROLES } from '../board/board-structs.ts';
import { isDefaultCrew } from '../scenario/default-scenario.ts';
import { InputError } from '../scenario/problem.ts';
import { engineKinds, ROGUE_KINDS, type ExporterPlan, type ImporterKind, type Scenario } from '../scenario/scenario.ts';
import { type Layout, layOut } from './lay-out.ts';
import { liveP2pdma } from './live-p2pdma.ts';
import { placeEngines, reaches } from './place-engines.ts';
import { type ExporterPlace, peersOf, placeExporters } from './place-exporter.ts';
import {
  accepts,
  GUARD_PAGES,
  type BufferPlan,
  type ControllerPlan,
  type EnginePlan,
  type RunPlan,
  type UsePlan,
} from './run-plan.ts';

/** Where everything is, before buffers are laid out. */
interface Places {
  readonly topology: Topology;
  readonly p2p: P2pdma;
  readonly kinds: readonly ImporterKind[];
  readonly names: readonly string[];
  readonly engines: readonly TopologyFunction[];
}

/** An exporter, and where it is when it has a function. */
interface PlacedExporter {
  readonly plan: ExporterPlan;
  readonly place: ExporterPlace | null;
}

/**
 * Puts a scenario on a machine: which function plays what, which buffers there are, who uses which pages. A pure function of
 * its arguments.
 *
 * Where no importer can reach any exporter by peer-to-peer DMA, the kernel's refusals are part of the run, and a heap of system
 * memory is added so that the importers have something to do. The default importers share functions where there are too few.
 * @throws InputError when the scenario asks for more than the machine has.
 */
export function makePlan(topology: Topology, scenario: Scenario): RunPlan {
  const kinds = engineKinds(scenario);
  const names = nameEngines(kinds);
  const p2p = liveP2pdma(topology, scenario.acs);
  const placed = placeAll(topology, p2p, scenario.exporters, kinds);
  const providers = placed.flatMap(({ place }) => (place === null ? [] : [place.fn]));
  const sharing = isDefaultCrew(scenario);
  const engines = placeEngines({ topology, p2p, providers, sharing }, kinds);
  const places = { topology, p2p, kinds, names, engines };
  const notes = sharingNotes(places);
  const exporters = withHeap(placed, places, notes);
  const { controllers, buffers, uses } = fill(exporters, places);
  checkLimits(buffers.length, kinds.length + controllers.length);
  const random = new Random(scenario.seed).fork('rogue');
  return {
    buffers,
    controllers,
    engines: kinds.map((kind, i): EnginePlan => {
      const rogue = kind === 'rogue' ? { rogue: scenario.rogue ?? random.pick(ROGUE_KINDS) } : {};
      const base = { role: controllers.length + i, name: names[i]!, kind, bdf: engines[i]!.bdf, uses: uses[i]! };
      return { ...base, ...rogue };
    }),
    notes,
  };
}

function placeAll(
  topology: Topology,
  p2p: P2pdma,
  plans: readonly ExporterPlan[],
  kinds: readonly ImporterKind[],
): PlacedExporter[] {
  const onFunctions = plans.filter(({ kind }) => kind !== 'heap');
  const most = (plan: ExporterPlan): number => {
    const all = kinds.map((kind) => ({ kind, name: '', welcome: accepts(plan.kind, kind) }));
    return layOut(plan, all).pages;
  };
  const wishes = onFunctions.map((plan) => ({ kind: plan.kind, pages: most(plan) }));
  const found = wishes.length === 0 ? [] : placeExporters(topology, p2p, wishes, kinds.length);
  return plans.map((plan) => ({ plan, place: found[onFunctions.indexOf(plan)] ?? null }));
}

/** Whether an exporter must let an engine in. */
function isWelcome({ plan, place }: PlacedExporter, { p2p, kinds, engines }: Places, engine: number): boolean {
  const kind = kinds[engine]!;
  return accepts(plan.kind, kind) && (place === null || reaches(p2p, place.fn, engines[engine]!, kind));
}

/** The exporters, and the system heap when an importer would otherwise have nothing because of where it is. */
function withHeap(exporters: readonly PlacedExporter[], places: Places, notes: string[]): readonly PlacedExporter[] {
  const { kinds, names, topology } = places;
  const left = kinds.flatMap((kind, engine) => {
    const should = exporters.filter(({ plan }) => accepts(plan.kind, kind));
    const gets = should.some((exporter) => isWelcome(exporter, places, engine));
    return should.length > 0 && !gets ? [names[engine]!] : [];
  });
  if (left.length === 0) return exporters;
  const all = exporters.flatMap(({ place }) => (place === null ? [] : [place.fn.bdf])).join(' and ');
  notes.push(
    `${left.join(', ')} cannot reach ${all} by peer-to-peer DMA on ${topology.description.name}: refused as by the kernel; ` +
      'they share system memory instead (heap)',
  );
  return [...exporters, { plan: { kind: 'heap', shared: 1, own: true, pages: 16 }, place: null }];
}

/** Buffers in their exporters' memory, and who uses them. */
function fill(
  exporters: readonly PlacedExporter[],
  places: Places,
): { controllers: ControllerPlan[]; buffers: BufferPlan[]; uses: UsePlan[][] } {
  const { topology, p2p, kinds, names, engines } = places;
  const buffers: BufferPlan[] = [];
  const uses: UsePlan[][] = kinds.map(() => []);
  const controllers = exporters.map((exporter, role): ControllerPlan => {
    const { plan, place } = exporter;
    const welcome = kinds.map((_kind, engine) => isWelcome(exporter, places, engine));
    const layout: Layout = layOut(
      plan,
      kinds.map((kind, engine) => ({ kind, name: names[engine]!, welcome: welcome[engine]! })),
    );
    let offset = 0;
    const own = layout.requests.map((request) => {
      const buffer: BufferPlan = { ...request.buffer, index: buffers.length, offset };
      offset += (buffer.pages + GUARD_PAGES) * PAGE_SIZE;
      buffers.push(buffer);
      for (const { engine, slice } of request.users) uses[engine]!.push({ buffer, welcome: welcome[engine]!, slice });
      return buffer;
    });
    return {
      role,
      name: plan.kind,
      kind: plan.kind,
      bdf: place?.fn.bdf ?? null,
      region: place?.bar.index ?? -1,
      witness: place === null ? engines[0]!.bdf : findWitness(topology, p2p, place.fn),
      buffers: own,
    };
  });
  return { controllers, buffers, uses };
}

function sharingNotes({ engines, names }: Places): string[] {
  const users = new Map<string, string[]>();
  engines.forEach(({ bdf }, i) => users.set(bdf, [...(users.get(bdf) ?? []), names[i]!]));
  return [...users].flatMap(([bdf, all]) => (all.length > 1 ? [`${all.join(', ')} share ${bdf}`] : []));
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
