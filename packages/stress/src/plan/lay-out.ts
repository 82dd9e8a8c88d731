import type { ExporterPlan, ImporterKind } from '../scenario/scenario.ts';
import { type BufferPlan, GUARD_PAGES, type UsePlan } from './run-plan.ts';

/** An engine as one exporter sees it. */
export interface Candidate {
  readonly kind: ImporterKind;
  readonly name: string;
  /** The exporter must let it in. */
  readonly welcome: boolean;
}

/** A buffer to be, and who will use it. */
export interface BufferRequest {
  readonly buffer: Omit<BufferPlan, 'index' | 'offset'>;
  readonly users: readonly { readonly engine: number; readonly slice: UsePlan['slice'] }[];
}

/** The buffers of one exporter, without their places. */
export interface Layout {
  readonly requests: readonly BufferRequest[];
  /** Pages that they take, gaps included. */
  readonly pages: number;
}

/** Divides an exporter's shared buffers among the engines that it accepts, and gives each of them one of its own. */
export function layOut(plan: ExporterPlan, engines: readonly Candidate[]): Layout {
  const accepted = engines.flatMap(({ welcome }, engine) => (welcome ? [engine] : []));
  const exporter = plan.kind;
  const requests: BufferRequest[] = Array.from({ length: plan.shared }, (_, n) => ({
    buffer: { name: `${exporter}/shared${n}`, exporter, pages: Math.max(plan.pages, accepted.length), ranges: 1 },
    users: engines.map(({ welcome }, engine) => ({
      engine,
      slice: { index: Math.max(0, accepted.indexOf(engine)), count: welcome ? accepted.length : 0 },
    })),
  }));
  for (const engine of plan.own ? accepted : []) {
    const { kind, name } = engines[engine]!;
    const contiguous = exporter !== 'vfio' || plan.pages === 1 || ['iommufd', 'rogue'].includes(kind);
    requests.push({
      buffer: { name: `${exporter}/${name}`, exporter, pages: plan.pages, ranges: contiguous ? 1 : 2 },
      users: [{ engine, slice: { index: 0, count: 1 } }],
    });
  }
  return { requests, pages: requests.reduce((sum, { buffer }) => sum + buffer.pages + GUARD_PAGES, 0) };
}
