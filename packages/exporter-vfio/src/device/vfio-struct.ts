import { completion, i32, mutex, ref, refcount, rwsem, struct, words } from '@dmabuf-emu/shm';

/** What VFIO keeps for one PCI function; static, so that a release long after the close still finds it. @kernel vfio_pci_core_device */
export const VfioStruct = struct('vfio_pci_core_device', {
  /** Counts opens and closes: odd while the device is open. Changed under dev_set.lock and memory_lock. */
  session: i32(),
  /** One for the driver being bound, one for the open device, one for each buffer. */
  registration: refcount(),
  bound: i32(),
  unbound: completion('vfio.registration'),
  devSetLock: mutex('vfio.dev_set.lock'),
  memoryLock: rwsem('vfio.memory_lock'),
  /** Buffers in order of export. Under memory_lock. */
  first: ref(),
  last: ref(),
  resetWorks: i32(),
  /** Low power was entered and not left. Under memory_lock. */
  lowPower: i32(),
  /** The driver can export its BARs. @kernel vfio_pci_device_ops.get_dmabuf_phys */
  exports: i32(),
  /** BARs that another driver has taken, a bit each. */
  foreignBars: i32(),
  barDirty: i32(),
  /** Accesses to the hardware's configuration space that are to fail. */
  readFailures: i32(),
  writeFailures: i32(),
  /** Command register as it was at open. */
  savedCommand: i32(),
  /** BAR registers as the hardware had them at open. */
  hardwareBars: words(6),
  /** Virtual copy of the first 256 bytes of configuration space. */
  vconfig: words(64),
});
