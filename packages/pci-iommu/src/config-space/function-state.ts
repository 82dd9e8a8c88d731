import { i32, type Machine, mutex, ref, spinLock, spinUnlock, struct, words } from '@dmabuf-emu/shm';
import { CONFIG_BYTES } from './registers.ts';

/** Registers that survive a reset because software saved them: every one that can be written. */
export const SAVED_WORDS = 72;

/** What a PCI function is at the moment, beside its registers: what sums them up, and what the kernel keeps for it. */
export const FunctionStruct = struct('pci_function', {
  /** Guards the registers. */
  lock: i32(),
  /** A copy of the ACS control word, for whoever follows routes. */
  acsControl: i32(),
  /** A reset is under way; the function is gone for good. */
  inReset: i32(),
  removed: i32(),
  /** Of a virtual function: bits of {@link VirtualState}, as its physical function's SR-IOV control word says. */
  virtualState: i32(),
  /** INTx is asserted by the device. */
  intx: i32(),
  /** The kind of interrupts that a driver enabled, 0 for none; the first of its vectors. */
  irqKind: i32(),
  irqs: ref(),
  /** The eventfd that is told of uncorrectable errors; 0 for none. */
  errorFile: ref(),
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
  /** What it caches of translations; 0 while ATS is off. */
  deviceTlb: ref(),
  /** Peer-to-peer DMA was initialised; answers for each client, four bits each. */
  p2pInit: i32(),
  p2pAnswers: ref(),
  /** Ranges of its BARs that are memory to allocate, and whether everybody may find them. */
  p2pmemChunks: ref(),
  p2pmemPublished: i32(),
  device: ref(),
});

/** What accesses a function takes part in at the moment. From bit 8 on: the BAR register holds the assigned address. */
export const Access = { MASTER: 1, DECODE: 2, IN_RESET: 4, REMOVED: 8, LOW_POWER: 16, BAR_0: 0x100 } as const;

/** How a virtual function is switched off by its physical function. From bit 8 on: that moved the BAR of all of them. */
export const VirtualState = { DISABLED: 1, MEMORY_OFF: 2, BAR_MOVED_0: 0x100 } as const;

/** Properties of a function that drivers or the platform set. */
export const FunctionFlag = {
  /** Bounces unaligned buffers. @kernel pci_dev.untrusted */
  UNTRUSTED: 1,
  /** Must bounce everything: a confidential guest. @kernel swiotlb=force */
  FORCE_BOUNCE: 2,
  /** No longer tries addresses below 4 GiB first. @kernel dev_iommu.pci_32bit_workaround */
  WIDE_ADDRESSES: 4,
  /** Attaching it to its default domain is put off until it is first used. @kernel dev_iommu.attach_deferred */
  ATTACH_DEFERRED: 8,
} as const;

const F = FunctionStruct;
/** Words of one function's configuration space, whatever its size. */
const CONFIG_WORDS = CONFIG_BYTES / 4;

/** Word of the first function's state; the others follow. @param count - number of functions of the machine */
export function functionStates(machine: Machine, count: number): number {
  return machine.root('pci.functions', count * F.$words);
}

/** Word where a function's configuration space begins. @param count - number of functions of the machine */
export function configSpaceAt(machine: Machine, count: number, index: number): number {
  return machine.root('pci.config-space', count * CONFIG_WORDS) + index * CONFIG_WORDS;
}

/**
 * Runs `fn`, which changes registers of the function at word `p`, with the registers locked, and sums them up anew.
 * @param summary - bits of {@link Access}
 */
export function changeRegisters(machine: Machine, p: number, summary: () => number, fn: () => void): void {
  spinLock(machine, p + F.lock.at);
  fn();
  F.access.store(machine.mem, p, summary());
  spinUnlock(machine, p + F.lock.at);
}
