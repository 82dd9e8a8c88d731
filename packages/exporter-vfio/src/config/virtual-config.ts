import {
  CapId,
  EXP_DEVCAP,
  EXP_DEVCAP_FLR,
  EXP_DEVCTL,
  EXP_DEVCTL_FLR,
  PciCommand,
  PM_CTRL,
  PM_CTRL_STATE_MASK,
  Reg,
} from '@dmabuf-emu/pci-iommu';
import { KernelError } from '@dmabuf-emu/shm';
import type { OpenDevice } from '../device/open-device.ts';
import { functionLevelReset } from '../device/reset.ts';
import { lockAndSetPowerState } from '../device/power.ts';
import { followIntxDisable } from '../irq/intx.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';
import { fixupBars, isBar } from './bar-registers.ts';
import { writeCommand } from './command-register.ts';
import { OWNER_EXTENDED, OWNER_NONE } from './config-model.ts';
import { defaultRead, defaultWrite, type Size } from './default-handlers.ts';
import { hardwareRead, hardwareWrite } from './hardware-config.ts';
import { PCI_AF_CAP, PCI_AF_CAP_FLR, PCI_AF_CAP_TP, PCI_AF_CTRL, PCI_AF_CTRL_FLR } from './registers.ts';
import { finishMessageControl } from './message-control.ts';
import { virtualRead, virtualWrite } from './virtual-bytes.ts';

/** Vendor specific capabilities: VFIO knows nothing of them and lets everything through. */
const VENDOR = 0x09;
const EXT_VENDOR = 0x0b;
const EXT_DESIGNATED_VENDOR = 0x23;

/** Reads `bytes.length` bytes of the user's view of configuration space. @kernel vfio_pci_config_rw @throws KernelError EFAULT */
export function readConfig(device: OpenDevice, position: number, bytes: Uint8Array): void {
  eachPiece(device, position, bytes.length, (at, size, i) => {
    const value = readPiece(device, at, size);
    for (let n = 0; n < size; n++) bytes[i + n] = value >>> (8 * n);
  });
}

/**
 * Writes bytes to the user's view of configuration space, in pieces of 4, 2 or 1 bytes; what a register does happens once a
 * piece. @kernel vfio_pci_config_rw @throws KernelError EFAULT, errors of the hardware
 */
export function writeConfig(device: OpenDevice, position: number, bytes: Uint8Array): void {
  eachPiece(device, position, bytes.length, (at, size, i) => {
    let value = 0;
    for (let n = 0; n < size; n++) value |= bytes[i + n]! << (8 * n);
    writePiece(device, at, size, value >>> 0);
  });
}

/** @kernel vfio_pci_config_rw_single */
function eachPiece(
  device: OpenDevice,
  position: number,
  count: number,
  handle: (at: number, size: Size, i: number) => void,
): void {
  const { model } = device.core;
  if (!Number.isInteger(position) || position < 0 || position + count > model.size) {
    throw new KernelError(
      'EFAULT',
      'vfio_pci_config_rw',
      `${count} bytes at ${position}, configuration space has ${model.size}`,
    );
  }
  for (let i = 0; i < count;) {
    const size = model.piece(position + i, count - i);
    handle(position + i, size, i);
    i += size;
  }
}

function readPiece({ core }: OpenDevice, at: number, size: Size): number {
  if (core.model.owner(at) === OWNER_NONE) return hardwareRead(core, at, size);
  if (isBar(at)) fixupBars(core);
  const value = defaultRead(core, at, size);
  if (at !== Reg.COMMAND || !core.isVirtualFunction) return value;
  return (value | (virtualRead(core, Reg.COMMAND, 2) & PciCommand.MEMORY)) >>> 0;
}

function writePiece(device: OpenDevice, at: number, size: Size, value: number): void {
  const { core } = device;
  switch (core.model.owner(at)) {
    case OWNER_NONE:
      return hardwareWrite(core, at, size, value);
    case VENDOR:
    case OWNER_EXTENDED + EXT_VENDOR:
    case OWNER_EXTENDED + EXT_DESIGNATED_VENDOR:
      return hardwareWrite(core, at, size, value);
    case CapId.MSI:
      defaultWrite(core, at, size, value);
      return finishMessageControl(core, at, size);
    case CapId.PM:
      defaultWrite(core, at, size, value);
      if (at === core.model.capabilityAt(CapId.PM) + PM_CTRL) lockAndSetPowerState(device, value & PM_CTRL_STATE_MASK);
      return;
    case CapId.EXP: {
      const exp = core.model.capabilityAt(CapId.EXP);
      defaultWrite(core, at, size, value);
      return resetIfAsked(device, exp + EXP_DEVCTL, EXP_DEVCTL_FLR, () => {
        return (hardwareRead(core, exp + EXP_DEVCAP, 4) & EXP_DEVCAP_FLR) !== 0;
      });
    }
    case CapId.AF: {
      const af = core.model.capabilityAt(CapId.AF);
      defaultWrite(core, at, size, value);
      return resetIfAsked(device, af + PCI_AF_CTRL, PCI_AF_CTRL_FLR, () => {
        const both = PCI_AF_CAP_FLR | PCI_AF_CAP_TP;
        return (hardwareRead(core, af + PCI_AF_CAP, 1) & both) === both;
      });
    }
    default: {
      const before = virtualRead(core, Reg.COMMAND, 2);
      if (at === Reg.COMMAND) writeCommand(device, size, value);
      else defaultWrite(core, at, size, value);
      if (at === Reg.COMMAND || at === Reg.COMMAND + 1) followIntxDisable(core, before);
      if (isBar(at)) V.barDirty.store(core.machine.mem, core.p, 1);
    }
  }
}

/** The reset bit reads as 0 always; setting it resets the function if it can. @kernel vfio_exp_config_write, vfio_af_config_write */
function resetIfAsked(device: OpenDevice, control: number, bit: number, supported: () => boolean): void {
  const shadow = virtualRead(device.core, control, 2);
  if ((shadow & bit) === 0) return;
  virtualWrite(device.core, control, 2, shadow & ~bit);
  if (supported()) functionLevelReset(device);
}
