import type { BarDescription } from '../description/machine-description.ts';
import type { TopologyFunction } from '../tree/topology-function.ts';
import type { Topology } from '../tree/topology.ts';
import { hex } from '../topology-error.ts';
import type { Placement } from './bar-placer.ts';

/** What was made up for a machine, one sentence each. */
export function tellAssumptions(
  topology: Topology,
  sized: ReadonlyMap<TopologyFunction, readonly BarDescription[]>,
  placement: Placement,
): readonly string[] {
  return [...tellSizes(topology, sized), ...tellBars(placement), ...tellAcs(topology), ...tellCpu(topology)];
}

function tellSizes(
  topology: Topology,
  sized: ReadonlyMap<TopologyFunction, readonly BarDescription[]>,
): readonly string[] {
  return [...sized].flatMap(([{ bdf }, bars]) => {
    const original = topology.function(bdf).bars.filter((bar) => bar.flags?.includes('size-unknown') === true);
    return original.map(({ index, start }) => {
      const bar = bars.find((candidate) => candidate.index === index);
      if (bar === undefined) return `${bdf}: BAR ${index} is left out: there is no room at ${hex(start)}`;
      return `${bdf}: BAR ${index} at ${hex(start)} is taken to have ${sizeText(bar.size)}`;
    });
  });
}

function tellBars(placement: Placement): readonly string[] {
  const sentences: string[] = [];
  for (const [fn, bars] of placement.bars) {
    for (const { index, size, start, kind } of bars) {
      sentences.push(`${fn.bdf}: BAR ${index} is taken to be ${kind}, ${sizeText(size)} at ${hex(start)}`);
    }
  }
  for (const { fn, bar } of placement.homeless) {
    const size = sizeText(bar.size);
    sentences.push(`${fn.bdf}: BAR ${bar.index} is left out: no ${size} are free in the windows above it`);
  }
  for (const [hostBridge, windows] of placement.hostWindows) {
    for (const { start, end } of windows) {
      sentences.push(`host bridge ${hostBridge.name}: is taken to forward ${hex(start)}..${hex(end)}`);
    }
  }
  return sentences;
}

function tellAcs({ functions }: Topology): readonly string[] {
  const unknown = functions.filter((fn) => fn.acs === 'unknown');
  const listed = unknown.filter((fn) => fn.description.acsListed === true);
  const others = unknown.filter((fn) => fn.description.acsListed !== true);
  return [
    ...someOf(listed, 'ACS registers are not known, and taken to have redirection and forwarding, all switched off'),
    ...someOf(others, 'ACS is not known and taken to be absent'),
  ];
}

function someOf(functions: readonly TopologyFunction[], sentence: string): readonly string[] {
  const first = functions[0];
  if (first === undefined) return [];
  return [`${first.bdf}${functions.length > 1 ? ` and ${functions.length - 1} more` : ''}: ${sentence}`];
}

function tellCpu({ description }: Topology): readonly string[] {
  const { vendor, family } = description.cpu;
  if (family !== null || (vendor !== 'AMD' && vendor !== 'unknown')) return [];
  return ['cpu: the family is not known, so host bridges forward peer traffic only where their own ids are enough'];
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

function sizeText(bytes: number): string {
  const unit = Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  return `${bytes / 1024 ** unit} ${UNITS[unit] ?? ''}`;
}
