import { ACS_ALL_BITS, AcsBit, PcieType, type TopologyFunction } from '../../topology/index.ts';
import {
  ACS_CAP,
  ACS_EGRESS_VECTOR,
  AER_UNCORRECTABLE_STATUS,
  ATS_CAP_PAGE_ALIGNED,
  ATS_CAP,
  ATS_CTRL,
  ATS_CTRL_ENABLE,
  ATS_CTRL_STU,
  CapAt,
  ExtCapId,
  PASID_CAP,
  PASID_CTRL,
  PasidBit,
  PRI_ALLOCATION,
  PRI_CTRL,
  PRI_MAX_REQUESTS,
  PRI_STATUS,
  PriBit,
  REBAR_CAP,
  REBAR_CTRL,
  REBAR_ENTRY_BYTES,
  SRIOV_BAR_0,
  SRIOV_CTRL,
  SRIOV_INITIAL_VFS,
  SRIOV_NUM_VFS,
  SRIOV_PAGE_SIZES,
  SRIOV_VF_DEVICE,
  SRIOV_VF_OFFSET,
  SriovBit,
} from '../registers.ts';
import { barRegisters } from './bar-registers.ts';
import type { CapabilityRules } from './capability-rules.ts';

/** Registers of advanced error reporting. @kernel PCI_ERR_UNCOR_MASK, PCI_ERR_COR_STATUS, PCI_ERR_CAP, PCI_ERR_ROOT_STATUS */
const AER = {
  MASK: 8,
  SEVERITY: 12,
  COR_STATUS: 16,
  COR_MASK: 20,
  CAP: 24,
  ROOT_COMMAND: 44,
  ROOT_STATUS: 48,
} as const;
const AER_BITS = 0x07ff_f010;
const AER_CORRECTABLE_BITS = 0xf1c1;
const AER_USUAL_SEVERITY = 0x0006_2010;
const AER_USUAL_COR_MASK = 0x2000;
/** Generation and check of ECRC. */
const AER_CAP_WRITABLE = 0x140;
/** Ports that the egress control vector of this hardware has bits for. */
const EGRESS_VECTOR_BITS = 32;
const SRIOV_4K_PAGES = 0x1;
const ALL_SRIOV_PAGES = 0x553;
const REBAR_SIZES_SHIFT = 4;
const MIB_BITS = 20;
const PASID_WIDTH_SHIFT = 8;

const isExpress = (fn: TopologyFunction): boolean => fn.pcieType !== null;

/** Every function of PCI Express has it unless a dump shows that it does not. */
const aer: CapabilityRules = {
  id: ExtCapId.AER,
  extended: true,
  at: CapAt.AER,
  wanted: (fn) => isExpress(fn) && (fn.description.config?.known ?? 0) <= CapAt.AER,
  length: () => 0x48,
  fresh: (image, at) => {
    image.put(at + AER.SEVERITY, 4, AER_USUAL_SEVERITY);
    image.put(at + AER.COR_MASK, 4, AER_USUAL_COR_MASK);
  },
  apply: (image, at, fn) => {
    image.clearByOne(at + AER_UNCORRECTABLE_STATUS, 4, AER_BITS);
    image.allow(at + AER.MASK, 4, AER_BITS);
    image.allow(at + AER.SEVERITY, 4, AER_BITS);
    image.clearByOne(at + AER.COR_STATUS, 4, AER_CORRECTABLE_BITS);
    image.allow(at + AER.COR_MASK, 4, AER_CORRECTABLE_BITS);
    image.allow(at + AER.CAP, 4, AER_CAP_WRITABLE);
    if (fn.pcieType !== PcieType.RootPort && fn.pcieType !== PcieType.RootComplexEventCollector) return;
    image.allow(at + AER.ROOT_COMMAND, 4, 0x7);
    image.clearByOne(at + AER.ROOT_STATUS, 4, 0x7f);
  },
};

const acs: CapabilityRules = {
  id: ExtCapId.ACS,
  extended: true,
  at: CapAt.ACS,
  wanted: (fn) => isExpress(fn) && fn.acs !== null && fn.acs !== 'unknown',
  length: (fn) => (hasEgressVector(fn) ? 12 : 8),
  fresh: (image, at, fn) => {
    if (hasEgressVector(fn)) image.put(at + ACS_CAP + 1, 1, EGRESS_VECTOR_BITS);
  },
  apply: (image, at, fn) => {
    if (hasEgressVector(fn)) image.allow(at + ACS_EGRESS_VECTOR, 4, -1);
    if (fn.acs !== null && fn.acs !== 'unknown') {
      image.merge(at + ACS_CAP, 2, ACS_ALL_BITS, fn.acs.cap);
      image.merge(at + ACS_CAP + 2, 2, ACS_ALL_BITS, fn.acs.ctrl);
    }
    image.allow(at + ACS_CAP + 2, 2, image.read(at + ACS_CAP, 2) & ACS_ALL_BITS);
  },
};

function hasEgressVector({ acs: known }: TopologyFunction): boolean {
  return known !== null && known !== 'unknown' && (known.cap & AcsBit.EgressControl) !== 0;
}

const sriov: CapabilityRules = {
  id: ExtCapId.SRIOV,
  extended: true,
  at: CapAt.SRIOV,
  wanted: (fn) => isExpress(fn) && fn.description.sriov !== undefined,
  length: () => 0x40,
  fresh: (image, at, fn) => {
    if ((fn.description.sriov?.numVfs ?? 0) > 0) image.put(at + SRIOV_CTRL, 2, SriovBit.ENABLE | SriovBit.MEMORY);
    image.put(at + SRIOV_PAGE_SIZES, 4, ALL_SRIOV_PAGES);
    image.put(at + SRIOV_PAGE_SIZES + 4, 4, SRIOV_4K_PAGES);
    image.put(at + SRIOV_INITIAL_VFS, 2, fn.description.sriov?.totalVfs ?? 0);
  },
  apply: (image, at, fn) => {
    const { sriov: described } = fn.description;
    image.allow(at + SRIOV_CTRL, 2, SriovBit.ENABLE | SriovBit.MEMORY | SriovBit.ARI);
    image.allow(at + SRIOV_NUM_VFS, 2, 0xffff);
    image.allow(at + SRIOV_PAGE_SIZES + 4, 4, image.read(at + SRIOV_PAGE_SIZES, 4));
    if (described === undefined) return;
    image.put(at + SRIOV_INITIAL_VFS + 2, 2, described.totalVfs);
    image.put(at + SRIOV_NUM_VFS, 2, described.numVfs);
    image.put(at + SRIOV_VF_OFFSET, 2, described.vfOffset);
    image.put(at + SRIOV_VF_OFFSET + 2, 2, described.vfStride);
    if (described.vfDevice !== null) image.put(at + SRIOV_VF_DEVICE, 2, described.vfDevice);
    barRegisters(fn, described.bars ?? []).forEach((register, i) => {
      if (register === null) return;
      image.put(at + SRIOV_BAR_0 + 4 * i, 4, register.value);
      image.allow(at + SRIOV_BAR_0 + 4 * i, 4, register.writable);
    });
  },
};

const ats: CapabilityRules = {
  id: ExtCapId.ATS,
  extended: true,
  at: CapAt.ATS,
  wanted: (fn) => isExpress(fn) && fn.description.ats === true,
  length: () => 8,
  fresh: (image, at) => image.put(at + ATS_CAP, 2, ATS_CAP_PAGE_ALIGNED),
  apply: (image, at) => image.allow(at + ATS_CTRL, 2, ATS_CTRL_ENABLE | ATS_CTRL_STU),
};

const pri: CapabilityRules = {
  id: ExtCapId.PRI,
  extended: true,
  at: CapAt.PRI,
  wanted: (fn) => isExpress(fn) && fn.description.pri !== undefined,
  length: () => 16,
  fresh: (image, at) => image.put(at + PRI_STATUS, 2, PriBit.STOPPED),
  apply: (image, at, fn) => {
    if (fn.description.pri !== undefined) image.put(at + PRI_MAX_REQUESTS, 4, fn.description.pri);
    image.allow(at + PRI_CTRL, 2, PriBit.ENABLE);
    image.clearByOne(at + PRI_STATUS, 2, PriBit.RESPONSE_FAILURE | PriBit.UNEXPECTED_GROUP);
    image.allow(at + PRI_ALLOCATION, 4, -1);
  },
};

const pasid: CapabilityRules = {
  id: ExtCapId.PASID,
  extended: true,
  at: CapAt.PASID,
  wanted: (fn) => isExpress(fn) && fn.description.pasid !== undefined,
  length: () => 8,
  fresh: () => {},
  apply: (image, at, fn) => {
    const { pasid: bits } = fn.description;
    if (bits !== undefined) image.merge(at + PASID_CAP, 2, 0x1f00, bits << PASID_WIDTH_SHIFT);
    const able = image.read(at + PASID_CAP, 2) & (PasidBit.EXECUTE | PasidBit.PRIVILEGED);
    image.allow(at + PASID_CTRL, 2, PasidBit.ENABLE | able);
  },
};

/** The control registers cannot be written: the machine's address map does not change. */
const rebar: CapabilityRules = {
  id: ExtCapId.REBAR,
  extended: true,
  at: CapAt.REBAR,
  wanted: (fn) => isExpress(fn) && fn.description.resizableBars !== undefined,
  length: (fn) => 4 + REBAR_ENTRY_BYTES * (fn.description.resizableBars?.length ?? 0),
  fresh: () => {},
  apply: (image, at, fn) => {
    fn.description.resizableBars?.forEach(({ bar, sizes }, i) => {
      const entry = at + REBAR_ENTRY_BYTES * i;
      const bits = sizes.map((size) => Math.log2(size) - MIB_BITS);
      const offered = bits.reduce((all, bit) => all + (bit < 28 ? 2 ** (bit + REBAR_SIZES_SHIFT) : 0), 0);
      const now = Math.log2(fn.bar(bar)?.size ?? 2 ** MIB_BITS) - MIB_BITS;
      const count = i === 0 ? (fn.description.resizableBars?.length ?? 0) << 5 : 0;
      image.put(entry + REBAR_CAP, 4, offered);
      image.put(entry + REBAR_CTRL, 4, bar | count | (now << 8) | largeSizes(bits));
    });
  },
};

/** Sizes from 256 TiB on stand in the control register. */
function largeSizes(bits: readonly number[]): number {
  return bits.reduce((all, bit) => (bit < 28 ? all : all | (1 << (bit - 28 + 16))), 0);
}

/** In the order in which they are listed when none of them was dumped. */
export const EXTENDED_CAPABILITIES: readonly CapabilityRules[] = [aer, acs, sriov, ats, pri, pasid, rebar];
