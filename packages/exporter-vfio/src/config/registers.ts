/** Offsets and bits that pci-iommu's registers do not name. @kernel include/uapi/linux/pci_regs.h */

export const PCI_VENDOR_ID = 0x00;
export const PCI_STATUS = 0x06;
export const PCI_CACHE_LINE_SIZE = 0x0c;
export const PCI_LATENCY_TIMER = 0x0d;
export const PCI_BIST = 0x0f;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;
/** Bytes of the header. */
export const PCI_STD_HEADER_SIZEOF = 0x40;
export const PCI_STD_NUM_BARS = 6;
export const PCI_ROM_ADDRESS_ENABLE = 0x1;

/** Registers of the power management capability. */
export const PCI_PM_PMC = 2;
export const PCI_PM_CAP_PME_MASK = 0xf800;
export const PCI_PM_CTRL_PME_ENABLE = 0x100;
export const PCI_PM_CTRL_PME_STATUS = 0x8000;

/** Registers of the PCI Express capability. */
export const PCI_EXP_DEVCTL_PHANTOM = 0x0200;
export const PCI_EXP_DEVCTL2 = 0x28;
export const PCI_EXP_DEVCTL2_ARI = 0x20;

/** Registers of the advanced features capability. */
export const PCI_AF_CAP = 3;
export const PCI_AF_CAP_TP = 0x1;
export const PCI_AF_CAP_FLR = 0x2;
export const PCI_AF_CTRL = 4;
export const PCI_AF_CTRL_FLR = 0x1;

/** Registers of advanced error reporting: status, mask and severity; status and mask of correctable errors; control. */
export const PCI_ERR_UNCORRECTABLE = [4, 8, 12] as const;
export const PCI_ERR_UNCORRECTABLE_BITS = 0x07ff_f010;
export const PCI_ERR_CORRECTABLE = [16, 20] as const;
export const PCI_ERR_CORRECTABLE_BITS = 0xf1c1;
export const PCI_ERR_CAP = 24;
export const PCI_ERR_CAP_ECRC = 0x140;

/** The power budgeting capability, and its data register. */
export const PCI_EXT_CAP_ID_PWR = 0x04;
export const PCI_PWR_DATA = 8;
