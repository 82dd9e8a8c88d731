import { i32, ref, struct, waitqueue } from '@dmabuf-emu/shm';

/** One interrupt vector that a driver has of a function. @kernel msi_desc, irq_desc */
export const IrqStruct = struct('pci.irq', {
  /** Index of the function, and of the vector among those of the function. */
  fn: i32(),
  vector: i32(),
  /** Number of its message; -1 for INTx. */
  message: i32(),
  /** The function's next vector. */
  next: ref(),
  /** Interrupts delivered, and those that somebody waited for and got. */
  count: i32(),
  taken: i32(),
  /** The driver masked it; or it masks itself each time. */
  masked: i32(),
  autoMask: i32(),
  /** The eventfd that is told; 0 for none. */
  file: ref(),
  queue: waitqueue('pci.irq'),
});
