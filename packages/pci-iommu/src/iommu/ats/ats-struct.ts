import { i32, ref, struct, waitqueue } from '@dmabuf-emu/shm';

/** The cache of translations of a function with ATS. */
export const AtsStruct = struct('pci_ats', {
  fn: i32(),
  /** The domain that the function is attached to, if that translates. */
  domain: ref(),
  tlb: ref(),
  tlbAt: i32(),
  /** Invalidations that the device will not answer; -1: none any more. The device was pulled out. */
  silent: i32(),
  gone: i32(),
  timeouts: i32(),
  /** Page requests that may be outstanding, 0 while they are off; those that are; a response told the function to stop. */
  requests: i32(),
  outstanding: i32(),
  stopped: i32(),
  idle: waitqueue('pci_ats.idle'),
});
