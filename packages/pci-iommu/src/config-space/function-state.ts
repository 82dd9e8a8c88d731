import { i32, type Machine, mutex, ref, spinLock, spinUnlock, struct, words } from '@dmabuf-emu/shm';
import { PciCommand, PM_CTRL_STATE_MASK, PowerState } from './registers.ts';

/** Registers that survive a reset because software saved them: BARs, ROM, command, power, device control, ACS control. */
const SAVED_WORDS = 12;

/** What a PCI function is at the moment: its writable registers and what the kernel keeps for it. */
export const FunctionStruct = struct('pci_function', {
  /** Guards the registers. */
  lock: i32(),
  command: i32(),
  pmcsr: i32(),
  deviceControl: i32(),
  acsControl: i32(),
  /** Uncorrectable errors seen. */
  aerStatus: i32(),
  /** Cache line size, latency timer, BIST; interrupt line. */
  cacheLine: i32(),
  interruptLine: i32(),
  bars: words(6),
  rom: i32(),
  /** A reset is under way; the function is gone for good. */
  inReset: i32(),
  removed: i32(),
  /** Sums up the above for whoever accesses the function: bits of {@link Access}. */
  access: i32(),
  resets: i32(),
  saved: words(SAVED_WORDS),
  savedValid: i32(),
  deviceLock: mutex('pci_dev.device_lock'),
  /** Bits of {@link FunctionFlag}. */
  flags: i32(),
  /** The domain it is attached to, and the one of the DMA API. */
  domain: ref(),
  defaultDomain: ref(),
  /** Peer-to-peer DMA was initialised; answers for each client, four bits each. */
  p2pInit: i32(),
  p2pAnswers: ref(),
  device: ref(),
});

/** What accesses a function takes part in at the moment. From bit 8 on: the BAR register holds the assigned address. */
export const Access = { MASTER: 1, DECODE: 2, IN_RESET: 4, REMOVED: 8, LOW_POWER: 16, BAR_0: 0x100 } as const;

/** Properties of a function that drivers or the platform set. */
export const FunctionFlag = {
  /** Bounces unaligned buffers. @kernel pci_dev.untrusted */
  UNTRUSTED: 1,
  /** Must bounce everything: a confidential guest. @kernel swiotlb=force */
  FORCE_BOUNCE: 2,
  /** No longer tries addresses below 4 GiB first. @kernel dev_iommu.pci_32bit_workaround */
  WIDE_ADDRESSES: 4,
} as const;

const F = FunctionStruct;

/** Word of the first function's state; the others follow. @param count - number of functions of the machine */
export function functionStates(machine: Machine, count: number): number {
  return machine.root('pci.functions', count * F.$words);
}

/** Runs `fn`, which changes registers of the function at word `p`, and sums them up anew. @param bars - bits of intact BARs */
export function changeRegisters(
  machine: Machine,
  p: number,
  isVirtual: boolean,
  intactBars: () => number,
  fn: () => void,
): void {
  const { mem } = machine;
  spinLock(machine, p + F.lock.at);
  fn();
  const command = F.command.get(mem, p);
  const power = F.pmcsr.get(mem, p) & PM_CTRL_STATE_MASK;
  const inReset = F.inReset.get(mem, p) !== 0;
  const removed = F.removed.get(mem, p) !== 0;
  const up = power === PowerState.D0 && !inReset && !removed;
  let access = intactBars() * Access.BAR_0;
  if (up && (command & PciCommand.MASTER) !== 0) access |= Access.MASTER;
  if (power < PowerState.D3hot && !inReset && !removed && (isVirtual || (command & PciCommand.MEMORY) !== 0))
    access |= Access.DECODE;
  if (inReset) access |= Access.IN_RESET;
  if (removed) access |= Access.REMOVED;
  if (power !== PowerState.D0) access |= Access.LOW_POWER;
  F.access.store(mem, p, access);
  spinUnlock(machine, p + F.lock.at);
}
