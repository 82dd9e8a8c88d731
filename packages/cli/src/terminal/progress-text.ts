import type { StressProgress } from '@dmabuf-emu/stress';

/** `3.2/10.0 s  41,210 ops/s  212 revokes  p99 310 µs  12 faults  0 violations` */
export function progressText(progress: StressProgress, format: Formats): string {
  const { phase, elapsedMs, durationMs, ops, opsLimit, opsPerSecond, revokes, revokeP99Ns, faults, violations, kills } =
    progress;
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  const part =
    opsLimit > 0
      ? `${format.count(ops)}/${format.count(opsLimit)} ops`
      : `${seconds(elapsedMs)}/${seconds(durationMs)} s`;
  return [
    phase === 'running' ? part : phase,
    `${format.count(opsPerSecond)} ops/s`,
    `${format.count(revokes)} revokes`,
    `p99 ${format.ns(revokeP99Ns)}`,
    `${format.count(faults)} faults`,
    ...(kills > 0 ? [`${kills} killed`] : []),
    `${violations} violations`,
  ].join('  ');
}

export interface Formats {
  readonly count: (n: number) => string;
  readonly ns: (ns: number) => string;
}
