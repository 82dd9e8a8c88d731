import { i32, mutex, ref, struct } from '@dmabuf-emu/shm';

/** What the RDMA driver keeps for one PCI function; static. @kernel ib_device, ib_ucontext */
export const RdmaStruct = struct('ib_device', {
  /** Counts opens and ends: odd while the device is open. */
  session: i32(),
  /** Last session that the driver's removal ended. */
  removedSession: i32(),
  /** Guards the list of entries. @kernel ib_ucontext.mmap_xa */
  entriesLock: mutex('rdma.mmap_xa'),
  /** Entries in order of creation. Under entriesLock. */
  first: ref(),
  last: ref(),
});
