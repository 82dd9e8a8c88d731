import {
  AER_UNCORRECTABLE_STATUS,
  CapAt,
  CapId,
  type ConfigSpace,
  EXP_DEVCTL,
  EXP_DEVCTL_FLR,
  ExtCapId,
  PCI_STATUS_CAP_LIST,
  PciCommand,
  PM_CTRL,
  PM_CTRL_STATE_MASK,
  Reg,
} from '@dmabuf-emu/pci-iommu';
import * as R from './registers.ts';

/** A capability of a function: where it begins and how many bytes it claims. */
export interface Capability {
  readonly id: number;
  readonly at: number;
  readonly length: number;
}

/** Owner of bytes that nothing claims, and of the header's bytes. @kernel PCI_CAP_ID_INVALID, PCI_CAP_ID_BASIC */
export const OWNER_NONE = 0xffff;
export const OWNER_HEADER = 0;
/** Added to the ids of extended capabilities. */
export const OWNER_EXTENDED = 0x1000;

/**
 * How VFIO shows one function's configuration space: who owns each byte, and for every byte which bits come from the virtual
 * copy (`virt`) and which can be written at all (`write`). Fixed for a function's life.
 * @kernel pci_config_map, perm_bits
 */
export class ConfigModel {
  /** Bytes of the space. */
  readonly size: number;
  readonly capabilities: readonly Capability[];
  readonly virt: Uint8Array;
  readonly write: Uint8Array;
  readonly #owner: Uint16Array;

  constructor(hardware: ConfigSpace) {
    this.size = hardware.size;
    this.virt = new Uint8Array(this.size);
    this.write = new Uint8Array(this.size);
    this.#owner = new Uint16Array(this.size).fill(OWNER_NONE);
    this.#owner.fill(OWNER_HEADER, 0, R.PCI_STD_HEADER_SIZEOF);
    this.capabilities = capabilitiesOf(hardware);
    for (const { id, at, length } of this.capabilities) this.#owner.fill(id, at, at + length);
    this.#header();
    for (const { id, at } of this.capabilities) this.#capability(id, at);
  }

  /** Whom the byte at `position` belongs to: {@link OWNER_HEADER}, {@link OWNER_NONE} or a capability's id. */
  owner(position: number): number {
    return this.#owner[position] ?? OWNER_NONE;
  }

  /**
   * Bytes of a transfer that are handled in one go from `position` on: at most 4, naturally aligned, all of one owner.
   * @kernel vfio_pci_cap_remaining_dword
   */
  piece(position: number, count: number): 1 | 2 | 4 {
    const owner = this.owner(position);
    let same = 1;
    while ((position + same) % 4 !== 0 && this.owner(position + same) === owner) same++;
    const most = Math.min(count, same);
    if (most >= 4 && position % 4 === 0) return 4;
    return most >= 2 && position % 2 === 0 ? 2 : 1;
  }

  /** @kernel init_pci_cap_basic_perm */
  #header(): void {
    const { virt, write } = this;
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

  /** @kernel init_pci_cap_pm_perm, init_pci_cap_exp_perm, init_pci_cap_af_perm, init_pci_ext_cap_err_perm */
  #capability(id: number, at: number): void {
    const { virt, write } = this;
    if (id < OWNER_EXTENDED) virt[at + 1] = 0xff;
    switch (id) {
      case CapId.PM:
        put(virt, at + R.PCI_PM_PMC, 2, R.PCI_PM_CAP_PME_MASK);
        put(virt, at + PM_CTRL, 2, R.PCI_PM_CTRL_PME_ENABLE);
        put(write, at + PM_CTRL, 4, ~(R.PCI_PM_CTRL_PME_ENABLE | R.PCI_PM_CTRL_PME_STATUS | PM_CTRL_STATE_MASK));
        return;
      case CapId.EXP:
        put(virt, at + EXP_DEVCTL, 2, EXP_DEVCTL_FLR | R.PCI_EXP_DEVCTL_PAYLOAD | R.PCI_EXP_DEVCTL_READRQ);
        put(write, at + EXP_DEVCTL, 2, ~R.PCI_EXP_DEVCTL_PHANTOM);
        put(write, at + R.PCI_EXP_DEVCTL2, 2, ~R.PCI_EXP_DEVCTL2_ARI);
        return;
      case CapId.AF:
        virt[at + R.PCI_AF_CTRL] = R.PCI_AF_CTRL_FLR;
        write[at + R.PCI_AF_CTRL] = R.PCI_AF_CTRL_FLR;
        return;
      case OWNER_EXTENDED + ExtCapId.AER:
        put(write, at + AER_UNCORRECTABLE_STATUS, 4, -1);
        return;
      default:
    }
  }
}

function capabilitiesOf({ capabilities }: ConfigSpace): Capability[] {
  const { pm, exp, af, acs, sriov } = capabilities;
  const all: readonly (readonly [present: boolean, id: number, at: number, length: number])[] = [
    [pm, CapId.PM, CapAt.PM, 8],
    [exp, CapId.EXP, CapAt.EXP, 0x3c],
    [af, CapId.AF, CapAt.AF, 6],
    [exp, OWNER_EXTENDED + ExtCapId.AER, CapAt.AER, 0x38],
    [acs, OWNER_EXTENDED + ExtCapId.ACS, CapAt.ACS, 8],
    [sriov, OWNER_EXTENDED + ExtCapId.SRIOV, CapAt.SRIOV, 0x40],
  ];
  return all.filter(([present]) => present).map(([, id, at, length]) => ({ id, at, length }));
}

function put(bytes: Uint8Array, at: number, size: 2 | 4, value: number): void {
  for (let i = 0; i < size; i++) bytes[at + i] = value >>> (8 * i);
}
