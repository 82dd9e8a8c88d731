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
  /** Virtual copy of configuration space. */
  vconfig: words(1024),
  /** Index of the interrupts that are enabled, from 1; 0 for none. Under igate. @kernel vfio_pci_core_device.irq_type */
  irqIndex: i32(),
  /** Logarithm of the number of MSI vectors that are enabled. @kernel vfio_pci_core_device.msi_qmax */
  msiQmax: i32(),
  /** The UUID that opens virtual functions, of a physical one; virtual functions open with it. @kernel vfio_pci_vf_token */
  tokenLock: mutex('vfio.vf_token'),
  token: words(4),
  vfUsers: i32(),
  /** Of a virtual function: the driver had its physical function when it was bound. @kernel vfio_pci_core_device.sriov_pf_core_dev */
  pfBound: i32(),
  /** Serialises interrupt setup. @kernel vfio_pci_core_device.igate */
  igate: mutex('vfio.igate'),
  /** The eventfd that is told when the driver wants the device back. @kernel vfio_pci_core_device.req_trigger */
  requestFile: ref(),
});
