import { DmaFault } from '@dmabuf-emu/pci-iommu';
import { type ErrnoName, KernelBug, KernelError } from '@dmabuf-emu/shm';
import type { StepOutcome } from './step-result.ts';

/** What a failed step amounts to. */
export interface Failure {
  readonly outcome: StepOutcome;
  readonly errno?: ErrnoName;
}

/** Outcomes of errors that have one of their own; the others are refusals. */
const OUTCOMES: Partial<Record<ErrnoName, StepOutcome>> = {
  ENODEV: 'revoked',
  ENOMEM: 'nomem',
  EOWNERDEAD: 'lost',
  ETIMEDOUT: 'faulted',
};

/** The outcome that an error of a step stands for; throws what is none: BUGs, killed tasks, mistakes in the code. */
export function failureOf(error: unknown): Failure {
  if (error instanceof DmaFault) return { outcome: 'faulted' };
  if (!(error instanceof KernelError) || error instanceof KernelBug) throw error;
  const errno = error.code;
  return { outcome: OUTCOMES[errno] ?? 'refused', errno };
}
