import { UsageError } from '../errors/kernel-error.ts';

/** Kernel behaviours that can be emulated. */
export const KERNELS = ['7.1', '7.1-rc2', '7.0', '6.19', '7.3', '6.12'] as const;
export type KernelProfile = (typeof KERNELS)[number];

/** How a machine is made. Everything has a default. */
export interface MachineOptions {
  /** Shared heap for kernel objects, in bytes. */
  readonly arenaBytes?: number;
  /** Backing for physical memory (RAM and BARs) that is really touched, in bytes. */
  readonly memoryBytes?: number;
  readonly kernel?: KernelProfile;
  /** Single behaviours to switch on beside the profile, by name. */
  readonly quirks?: readonly string[];
  /** Lock-order validation and held-lock asserts. */
  readonly lockdep?: boolean;
  /** Remember who allocated and freed each object, poison freed ones. */
  readonly debugObjects?: boolean;
  readonly clock?: 'real' | 'manual';
  readonly seed?: number;
  /** Events that each task's trace ring keeps (rounded up to a power of two); 0 switches tracing off. */
  readonly traceEvents?: number;
  /** Read the clock for every event, or for every 16th. */
  readonly traceStamps?: 'every' | 'coarse';
  /** `'js'` does without WebAssembly. */
  readonly movers?: 'wasm' | 'js';
}

export type ResolvedOptions = Required<MachineOptions>;

const MIB = 1 << 20;

/** Options with defaults filled in. @throws UsageError naming the option that is out of range and what it may be. */
export function resolveOptions(given: MachineOptions): ResolvedOptions {
  const options: ResolvedOptions = {
    arenaBytes: 64 * MIB,
    memoryBytes: 64 * MIB,
    kernel: '7.1',
    quirks: [],
    lockdep: true,
    debugObjects: true,
    clock: 'real',
    seed: 1,
    traceEvents: 0,
    traceStamps: 'coarse',
    movers: 'wasm',
    ...given,
  };
  const size = (name: 'arenaBytes' | 'memoryBytes', least: number): void => {
    const v = options[name];
    if (!Number.isInteger(v) || v < least || v > 4096 * MIB - 65536) {
      throw new UsageError(`option ${name} must be a whole number from ${least} to 4 GiB, got ${String(v)}`);
    }
  };
  size('arenaBytes', 4 * MIB);
  size('memoryBytes', 0);
  if (!KERNELS.includes(options.kernel)) {
    throw new UsageError(`option kernel must be one of ${KERNELS.join(', ')}, got ${options.kernel}`);
  }
  if (!Number.isInteger(options.traceEvents) || options.traceEvents < 0 || options.traceEvents > 1 << 20) {
    throw new UsageError(
      `option traceEvents must be a whole number from 0 to ${1 << 20}, got ${String(options.traceEvents)}`,
    );
  }
  const traceEvents = options.traceEvents === 0 ? 0 : 2 ** Math.ceil(Math.log2(Math.max(16, options.traceEvents)));
  return { ...options, traceEvents };
}
