import { type MsiDescription, PcieType, type TopologyFunction } from '../../topology/index.ts';
import {
  AF_CAPABILITIES,
  AF_CTRL,
  AF_LENGTH,
  CapAt,
  CapId,
  AtomicCap,
  EXP_DEVCAP,
  EXP_DEVCAP2,
  EXP_DEVCAP_FLR,
  EXP_DEVCTL,
  EXP_DEVSTA,
  MSI_FLAGS,
  MsiFlag,
  MSIX_FLAGS,
  MSIX_PBA,
  MSIX_TABLE,
  MsixFlag,
  PM_CAPABILITIES,
  PM_CTRL,
  PM_CTRL_NO_SOFT_RESET,
  PM_CTRL_PME_ENABLE,
  PM_CTRL_PME_STATUS,
  PM_CTRL_STATE_MASK,
} from '../registers.ts';
import type { CapabilityRules } from './capability-rules.ts';
import { msiRegisters } from './msi-registers.ts';
import type { RegisterImage } from './register-image.ts';

const PM_PMC = 2;
const EXP_LENGTH = 0x3c;
const EXP_FLAGS = 2;
const EXP_VERSION = 2;
const EXP_FLAGS_TYPE = 0xf0;
const EXP_FLAGS_SLOT = 0x100;
const ROLE_BASED_ERRORS = 0x8000;
/** Registers of the PCI Express capability: link, slot, root, and their second parts. @kernel PCI_EXP_LNKCTL, PCI_EXP_RTCTL */
/** This hardware does AtomicOps. */
const ATOMIC_COMPLETER = AtomicCap.COMPLETER_32 | AtomicCap.COMPLETER_64;
const EXP = { LNKCTL: 16, LNKSTA: 18, SLTCTL: 24, SLTSTA: 26, RTCTL: 28, RTSTA: 32, DEVCTL2: 40, LNKCTL2: 48 } as const;
const AF_LEN = 2;
const AF_CAP = 3;
const MSIX_LENGTH = 12;

const pm: CapabilityRules = {
  id: CapId.PM,
  extended: false,
  at: CapAt.PM,
  wanted: (fn) => fn.description.pm,
  length: () => 8,
  fresh: (image, at) => {
    image.put(at + PM_PMC, 2, PM_CAPABILITIES);
    image.put(at + PM_CTRL, 2, PM_CTRL_NO_SOFT_RESET);
  },
  apply: (image, at) => {
    image.allow(at + PM_CTRL, 2, PM_CTRL_STATE_MASK | PM_CTRL_PME_ENABLE);
    image.clearByOne(at + PM_CTRL, 2, PM_CTRL_PME_STATUS);
  },
};

const exp: CapabilityRules = {
  id: CapId.EXP,
  extended: false,
  at: CapAt.EXP,
  wanted: (fn) => fn.pcieType !== null,
  length: () => EXP_LENGTH,
  fresh: (image, at, fn) => {
    image.put(at + EXP_FLAGS, 2, EXP_VERSION);
    image.put(at + EXP_DEVCAP, 4, ROLE_BASED_ERRORS);
    image.put(at + EXP_DEVCAP2, 4, ATOMIC_COMPLETER | (fn.isBridge ? AtomicCap.ROUTE : 0));
  },
  apply: (image, at, fn) => {
    if (typeof fn.pcieType === 'number') image.merge(at + EXP_FLAGS, 2, EXP_FLAGS_TYPE, fn.pcieType << 4);
    // A dump that shows another way to reset the function leaves this bit as it was.
    if (!fn.description.flr) image.merge(at + EXP_DEVCAP, 4, EXP_DEVCAP_FLR, 0);
    else if (!hasAdvancedFeatures(image, fn)) image.merge(at + EXP_DEVCAP, 4, EXP_DEVCAP_FLR, EXP_DEVCAP_FLR);
    image.allow(at + EXP_DEVCTL, 2, 0x7fff);
    image.clearByOne(at + EXP_DEVSTA, 2, 0xf);
    image.allow(at + EXP.LNKCTL, 2, 0x0fff);
    image.clearByOne(at + EXP.LNKSTA, 2, 0xc000);
    if ((image.read(at + EXP_FLAGS, 2) & EXP_FLAGS_SLOT) !== 0) {
      image.allow(at + EXP.SLTCTL, 2, 0x1fff);
      image.clearByOne(at + EXP.SLTSTA, 2, 0x011f);
    }
    if (hasRootRegisters(fn)) {
      image.allow(at + EXP.RTCTL, 2, 0x001f);
      image.clearByOne(at + EXP.RTSTA, 4, 0x1_0000);
    }
    if ((image.read(at + EXP_FLAGS, 2) & 0xf) < EXP_VERSION) return;
    image.allow(at + EXP.DEVCTL2, 2, 0xffff);
    image.allow(at + EXP.LNKCTL2, 2, 0xffff);
  },
};

function hasRootRegisters(fn: TopologyFunction): boolean {
  return fn.pcieType === PcieType.RootPort || fn.pcieType === PcieType.RootComplexEventCollector;
}

/** How a conventional function is reset; a function of PCI Express only has it when a dump shows it. */
const af: CapabilityRules = {
  id: CapId.AF,
  extended: false,
  at: CapAt.AF,
  wanted: (fn) => fn.pcieType === null && fn.description.flr,
  length: () => AF_LENGTH,
  fresh: (image, at) => {
    image.put(at + AF_LEN, 1, AF_LENGTH);
    image.put(at + AF_CAP, 1, AF_CAPABILITIES);
  },
  // The only bit of its control register acts and reads as 0.
  apply: (image, at) => image.allow(at + AF_CTRL, 1, 0),
};

function hasAdvancedFeatures(image: RegisterImage, fn: TopologyFunction): boolean {
  if (fn.description.config === undefined) return false;
  for (let at = image.read(0x34, 1); at >= 0x40; at = image.read(at + 1, 1) & 0xfc) {
    if (image.read(at, 1) === CapId.AF) return (image.read(at + AF_CAP, 1) & AF_CAPABILITIES) === AF_CAPABILITIES;
  }
  return false;
}

const msi: CapabilityRules = {
  id: CapId.MSI,
  extended: false,
  at: CapAt.MSI,
  wanted: (fn) => fn.description.msi !== undefined,
  length: ({ description }) => msiRegisters(0, msiWidth(description.msi)).length,
  fresh: () => {},
  apply: (image, at, fn) => {
    const { msi: described } = fn.description;
    if (described !== undefined) {
      const mask = MsiFlag.CAPABLE | MsiFlag.WIDE | MsiFlag.MASKABLE;
      image.merge(at + MSI_FLAGS, 2, mask, (Math.log2(described.vectors) << 1) | msiWidth(described));
    }
    const registers = msiRegisters(at, image.read(at + MSI_FLAGS, 2));
    image.allow(registers.flags, 2, MsiFlag.ENABLE | MsiFlag.ENABLED);
    image.allow(registers.address, 4, -4);
    if (registers.addressUpper !== null) image.allow(registers.addressUpper, 4, -1);
    image.allow(registers.data, 2, 0xffff);
    if (registers.mask !== null) image.allow(registers.mask, 4, 2 ** registers.vectors - 1);
  },
};

function msiWidth(described: MsiDescription | undefined): number {
  return (described?.wide === true ? MsiFlag.WIDE : 0) | (described?.maskable === true ? MsiFlag.MASKABLE : 0);
}

const msix: CapabilityRules = {
  id: CapId.MSIX,
  extended: false,
  at: CapAt.MSIX,
  wanted: (fn) => fn.description.msix !== undefined,
  length: () => MSIX_LENGTH,
  fresh: () => {},
  apply: (image, at, fn) => {
    const { msix: described } = fn.description;
    if (described !== undefined) {
      image.merge(at + MSIX_FLAGS, 2, MsixFlag.SIZE, described.vectors - 1);
      image.put(at + MSIX_TABLE, 4, described.offset | described.bar);
      image.put(at + MSIX_PBA, 4, described.pbaOffset | described.pbaBar);
    }
    image.allow(at + MSIX_FLAGS, 2, MsixFlag.ENABLE | MsixFlag.MASK_ALL);
  },
};

/** In the order in which they are listed when none of them was dumped. */
export const CONVENTIONAL_CAPABILITIES: readonly CapabilityRules[] = [pm, exp, af, msi, msix];
