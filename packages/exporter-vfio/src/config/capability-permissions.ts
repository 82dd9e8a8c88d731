import {
  CapId,
  type ConfigSpace,
  EXP_DEVCTL,
  EXP_DEVCTL_FLR,
  EXP_DEVCTL_PAYLOAD,
  EXP_DEVCTL_READRQ,
  ExtCapId,
  MSI_FLAGS,
  msiRegisters,
  PCI_STATUS_CAP_LIST,
  PciCommand,
  PM_CTRL,
  PM_CTRL_STATE_MASK,
  Reg,
} from '@dmabuf-emu/pci-iommu';
import * as R from './registers.ts';

/** For every byte, which bits come from the virtual copy and which can be written at all. @kernel perm_bits */
export interface Permissions {
  readonly virt: Uint8Array;
  readonly write: Uint8Array;
}

/** @kernel init_pci_cap_basic_perm */
export function headerPermissions({ virt, write }: Permissions): void {
  virt.fill(0xff, R.PCI_VENDOR_ID, R.PCI_VENDOR_ID + 4);
  put(virt, Reg.COMMAND, 2, PciCommand.INTX_DISABLE);
  put(write, Reg.COMMAND, 2, 0xffff);
  put(virt, R.PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  for (const at of [R.PCI_CACHE_LINE_SIZE, R.PCI_LATENCY_TIMER, R.PCI_BIST, R.PCI_INTERRUPT_LINE]) write[at] = 0xff;
  for (const [from, count] of [
    [Reg.BAR_0, 4 * R.PCI_STD_NUM_BARS],
    [Reg.ROM, 4],
  ] as const) {
    virt.fill(0xff, from, from + count);
    write.fill(0xff, from, from + count);
  }
  for (const at of [R.PCI_CAPABILITY_LIST, R.PCI_INTERRUPT_LINE, R.PCI_INTERRUPT_PIN]) virt[at] = 0xff;
}

/**
 * The next pointer is virtual in all capabilities; those that have no case here can only be read.
 * @kernel init_pci_cap_pm_perm, init_pci_cap_exp_perm, init_pci_cap_af_perm, init_pci_cap_msi_perm
 */
export function capabilityPermissions(
  hardware: ConfigSpace,
  { virt, write }: Permissions,
  id: number,
  at: number,
): void {
  virt[at + 1] = 0xff;
  switch (id) {
    case CapId.PM:
      put(virt, at + R.PCI_PM_PMC, 2, R.PCI_PM_CAP_PME_MASK);
      put(virt, at + PM_CTRL, 2, R.PCI_PM_CTRL_PME_ENABLE);
      put(write, at + PM_CTRL, 4, ~(R.PCI_PM_CTRL_PME_ENABLE | R.PCI_PM_CTRL_PME_STATUS | PM_CTRL_STATE_MASK));
      return;
    case CapId.EXP:
      put(virt, at + EXP_DEVCTL, 2, EXP_DEVCTL_FLR | EXP_DEVCTL_PAYLOAD | EXP_DEVCTL_READRQ);
      put(write, at + EXP_DEVCTL, 2, ~R.PCI_EXP_DEVCTL_PHANTOM);
      put(write, at + R.PCI_EXP_DEVCTL2, 2, ~R.PCI_EXP_DEVCTL2_ARI);
      return;
    case CapId.AF:
      virt[at + R.PCI_AF_CTRL] = R.PCI_AF_CTRL_FLR;
      write[at + R.PCI_AF_CTRL] = R.PCI_AF_CTRL_FLR;
      return;
    case CapId.MSI:
      return messagePermissions(hardware, { virt, write }, at);
    default:
  }
}

/** Messages are the kernel's business: the user writes to a copy. Only mask and pending bits are those of the hardware. */
function messagePermissions(hardware: ConfigSpace, { virt, write }: Permissions, at: number): void {
  const registers = msiRegisters(at, hardware.initial(at + MSI_FLAGS, 2));
  const all = (bytes: Uint8Array, from: number, size: 1 | 2 | 4): void => put(bytes, from, size, -1);
  for (const bytes of [virt, write]) {
    all(bytes, registers.flags, 1);
    all(bytes, registers.address, 4);
    if (registers.addressUpper !== null) all(bytes, registers.addressUpper, 4);
    all(bytes, registers.data, 2);
  }
  for (const from of [registers.mask, registers.pending]) if (from !== null) all(write, from, 4);
}

/** @kernel init_pci_ext_cap_err_perm, init_pci_ext_cap_pwr_perm */
export function extendedPermissions({ virt, write }: Permissions, id: number, at: number): void {
  put(virt, at, 4, -1);
  if (id === ExtCapId.AER) {
    for (const offset of R.PCI_ERR_UNCORRECTABLE) put(write, at + offset, 4, R.PCI_ERR_UNCORRECTABLE_BITS);
    for (const offset of R.PCI_ERR_CORRECTABLE) put(write, at + offset, 4, R.PCI_ERR_CORRECTABLE_BITS);
    put(write, at + R.PCI_ERR_CAP, 4, R.PCI_ERR_CAP_ECRC);
  }
  if (id === R.PCI_EXT_CAP_ID_PWR) write[at + R.PCI_PWR_DATA] = 0xff;
}

function put(bytes: Uint8Array, at: number, size: 1 | 2 | 4, value: number): void {
  for (let i = 0; i < size; i++) bytes[at + i] = value >>> (8 * i);
}
