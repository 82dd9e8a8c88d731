/**
 * What a fence stands for in a reservation object, strongest first. A query returns its own class and all stronger ones.
 * @kernel dma_resv_usage
 */
export const ResvUsage = {
  /** Memory management: moves and clears. Always wait for these before touching the memory. @kernel DMA_RESV_USAGE_KERNEL */
  KERNEL: 0,
  /** Implicitly synchronised writers. @kernel DMA_RESV_USAGE_WRITE */
  WRITE: 1,
  /** Implicitly synchronised readers. @kernel DMA_RESV_USAGE_READ */
  READ: 2,
  /** No implicit synchronisation: only "is anybody still using it". @kernel DMA_RESV_USAGE_BOOKKEEP */
  BOOKKEEP: 3,
} as const;
export type ResvUsage = (typeof ResvUsage)[keyof typeof ResvUsage];

/** The class to query before writing (or reading). @kernel dma_resv_usage_rw */
export function resvUsageRw(write: boolean): ResvUsage {
  return write ? ResvUsage.READ : ResvUsage.WRITE;
}

const NAMES = ['kernel', 'write', 'read', 'bookkeep'] as const;

/** The word that the kernel prints for a class. */
export function usageName(usage: ResvUsage): (typeof NAMES)[number] {
  return NAMES[usage];
}
