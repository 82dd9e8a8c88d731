import type { AcsKnowledge } from '../acs.ts';
import type { SriovDescription } from '../description/machine-description.ts';
import { isPcieType, type PcieType } from '../pcie-type.ts';
import { decodeBars, decodeBridgeWindows } from './decode-header.ts';
import type { RawBusNumbers, RawCapability, RawFunction, RawMsix } from './raw-function.ts';
import { walkCapabilities } from './walk-capabilities.ts';

const CONVENTIONAL_SIZE = 256;
const EXTENDED_SIZE = 4096;

const CapabilityId = { PowerManagement: 0x01, Msix: 0x11, Express: 0x10, AdvancedFeatures: 0x13 } as const;
const ExtendedId = { Acs: 0x0d, Ats: 0x0f, Sriov: 0x10 } as const;

const BRIDGE_HEADER = 1;
const CARDBUS_HEADER = 2;

const FLR_IN_DEVCAP = 0x1000_0000;
const FLR_IN_AF_CAP = 0x03;

/** What config space bytes tell of a function; a subset of {@link RawFunction}. */
export type ConfigFacts = Pick<
  RawFunction,
  | 'vendor'
  | 'device'
  | 'class'
  | 'revision'
  | 'command'
  | 'headerType'
  | 'multifunction'
  | 'barRegisters'
  | 'bus'
  | 'windows'
  | 'capabilities'
  | 'pcieType'
  | 'acs'
  | 'flr'
  | 'pm'
  | 'ats'
  | 'sriov'
  | 'msix'
>;

/**
 * Decodes 64, 256 or 4096 bytes of config space. What lies beyond the bytes stays unknown.
 *
 * @kernel include/uapi/linux/pci_regs.h
 */
export function decodeConfig(bytes: Uint8Array): ConfigFacts {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerType = view.getUint8(0x0e);
  const kind = headerType & 0x7f;
  const capabilities = walkCapabilities(view);
  const express = find(capabilities, CapabilityId.Express, false);
  const conventionalKnown = bytes.length >= CONVENTIONAL_SIZE;
  const pcieType = typeOf(view, express, conventionalKnown);
  // A function without PCIe has no extended capabilities.
  const extendedKnown = bytes.length >= EXTENDED_SIZE || pcieType === null;
  return {
    vendor: idOf(view.getUint16(0x00, true)),
    device: idOf(view.getUint16(0x02, true)),
    class: view.getUint32(0x08, true) >>> 8,
    revision: view.getUint8(0x08),
    command: view.getUint16(0x04, true),
    headerType: kind,
    multifunction: (headerType & 0x80) !== 0,
    barRegisters: decodeBars(view, kind),
    bus: kind === BRIDGE_HEADER || kind === CARDBUS_HEADER ? busNumbersOf(view) : null,
    windows: kind === BRIDGE_HEADER ? decodeBridgeWindows(view) : [],
    capabilities,
    pcieType,
    acs: acsOf(view, capabilities, extendedKnown),
    flr: conventionalKnown ? hasFlr(view, capabilities) : null,
    pm: presence(find(capabilities, CapabilityId.PowerManagement, false), conventionalKnown),
    ats: presence(find(capabilities, ExtendedId.Ats, true), extendedKnown),
    sriov: sriovOf(view, find(capabilities, ExtendedId.Sriov, true)),
    msix: msixOf(view, find(capabilities, CapabilityId.Msix, false)),
  };
}

function find(list: readonly RawCapability[], id: number, extended: boolean): RawCapability | undefined {
  return list.find((capability) => capability.id === id && capability.extended === extended);
}

/** The id registers of a virtual function read all ones. */
function idOf(register: number): number | null {
  return register === 0xffff ? null : register;
}

function presence(capability: RawCapability | undefined, known: boolean): boolean | null {
  if (capability !== undefined) return true;
  return known ? false : null;
}

function typeOf(view: DataView, express: RawCapability | undefined, known: boolean): PcieType | null | 'unknown' {
  if (express === undefined) return known ? null : 'unknown';
  const type = (view.getUint16(express.offset + 2, true) >> 4) & 0xf;
  return isPcieType(type) ? type : 'unknown';
}

function busNumbersOf(view: DataView): RawBusNumbers {
  return { primary: view.getUint8(0x18), secondary: view.getUint8(0x19), subordinate: view.getUint8(0x1a) };
}

function hasFlr(view: DataView, capabilities: readonly RawCapability[]): boolean {
  const express = find(capabilities, CapabilityId.Express, false);
  if (express !== undefined && (view.getUint32(express.offset + 4, true) & FLR_IN_DEVCAP) !== 0) return true;
  const advanced = find(capabilities, CapabilityId.AdvancedFeatures, false);
  return advanced !== undefined && (view.getUint8(advanced.offset + 3) & FLR_IN_AF_CAP) === FLR_IN_AF_CAP;
}

function acsOf(view: DataView, capabilities: readonly RawCapability[], known: boolean): AcsKnowledge {
  const acs = find(capabilities, ExtendedId.Acs, true);
  if (acs === undefined) return known ? null : 'unknown';
  return {
    cap: view.getUint16(acs.offset + 4, true) & 0x7f,
    ctrl: view.getUint16(acs.offset + 6, true) & 0x7f,
  };
}

function sriovOf(view: DataView, capability: RawCapability | undefined): SriovDescription | null {
  if (capability === undefined) return null;
  const { offset } = capability;
  return {
    totalVfs: view.getUint16(offset + 0x0e, true),
    numVfs: view.getUint16(offset + 0x10, true),
    vfOffset: view.getUint16(offset + 0x14, true),
    vfStride: view.getUint16(offset + 0x16, true),
    vfDevice: view.getUint16(offset + 0x1a, true),
  };
}

function msixOf(view: DataView, capability: RawCapability | undefined): RawMsix | null {
  if (capability === undefined) return null;
  const table = view.getUint32(capability.offset + 4, true);
  return {
    vectors: (view.getUint16(capability.offset + 2, true) & 0x7ff) + 1,
    tableBar: table & 0x7,
    tableOffset: table - (table & 0x7),
  };
}
