import type { BridgeWindowKind, TopologyFunction } from '../../topology/index.ts';
import {
  BRIDGE_CONTROL_DISCARD,
  BRIDGE_CONTROL_WRITABLE,
  COMMAND_WRITABLE,
  PCI_STATUS_ERRORS,
  PciCommand,
  Reg,
  ROM_ENABLE,
} from '../registers.ts';
import { barRegisters } from './bar-registers.ts';
import type { RegisterImage } from './register-image.ts';

const HEADER_TYPE_BRIDGE = 1;
const HEADER_MULTIFUNCTION = 0x80;
/** What firmware leaves in the command register of a function about which nothing is known. */
const USUAL_COMMAND = PciCommand.MEMORY | PciCommand.MASTER;
const INTERRUPT_PIN_A = 1;
/** Low bits of a window register: the address has 32 bits (I/O), 64 bits (prefetchable). */
const WIDE_WINDOW = 0x1;
const MIB = 0x10_0000;

/** Lays out the first 64 bytes. */
export function layOutHeader(image: RegisterImage, fn: TopologyFunction): void {
  const isNew = !image.isTaken(Reg.CLASS_REVISION);
  const { description, vendor, device, classCode } = fn;
  const [ids, command] = isNew ? [0xffff, USUAL_COMMAND] : [null, null];
  put(image, Reg.VENDOR, fn.isVirtualFunction ? 0xffff : (vendor ?? ids));
  put(image, Reg.VENDOR + 2, fn.isVirtualFunction ? 0xffff : (device ?? ids));
  put(image, Reg.COMMAND, description.command ?? command);
  image.allow(Reg.COMMAND, 2, fn.isVirtualFunction ? PciCommand.MASTER : COMMAND_WRITABLE);
  image.clearByOne(Reg.STATUS, 2, PCI_STATUS_ERRORS);
  if (classCode !== null) image.merge(Reg.CLASS_REVISION, 4, 0xffff_ff00, classCode << 8);
  image.allow(Reg.CACHE_LINE, 4, 0x0000_ffff);
  if (isNew) image.put(Reg.HEADER_TYPE, 1, fn.isBridge ? HEADER_TYPE_BRIDGE : 0);
  image.merge(Reg.HEADER_TYPE, 1, HEADER_MULTIFUNCTION, fn.multifunction ? HEADER_MULTIFUNCTION : 0);
  image.allow(Reg.INTERRUPT, 1, 0xff);
  if (isNew) {
    image.put(Reg.CLASS_REVISION, 1, 1);
    image.put(Reg.INTERRUPT + 1, 1, fn.isVirtualFunction ? 0 : INTERRUPT_PIN_A);
  }
  layOutBars(image, fn, isNew);
  if (fn.isBridge) layOutBridge(image, fn, isNew);
  else if (isNew) image.put(Reg.SUBSYSTEM, 4, (vendor ?? 0) | ((device ?? 0) << 16));
}

/** `null` is for what neither the description nor anybody else knows better than the dump. */
function put(image: RegisterImage, at: number, value: number | null): void {
  if (value !== null) image.put(at, 2, value);
}

/**
 * BARs and ROM. Virtual functions have none: the capability of their physical function holds them. A BAR that only a dump
 * shows, of unknown size, cannot be written; where the kernel has a ROM says little of the register.
 */
function layOutBars(image: RegisterImage, fn: TopologyFunction, isNew: boolean): void {
  const count = fn.isBridge ? 2 : 6;
  const registers = barRegisters(fn, fn.isVirtualFunction ? [] : fn.bars);
  registers.slice(0, count).forEach((register, i) => {
    const at = Reg.BAR_0 + 4 * i;
    if (register === null) return;
    image.put(at, 4, register.value);
    image.allow(at, 4, register.writable);
  });
  const at = fn.isBridge ? Reg.BRIDGE_ROM : Reg.ROM;
  const { rom } = fn.description;
  if (rom === undefined) return;
  const address = rom.start === 0 ? 0 : rom.start + fn.hostBridge.busOffsetAt(rom.start);
  if (isNew) image.put(at, 4, address & -0x800);
  image.allow(at, 4, (-rom.size & -0x800) | ROM_ENABLE);
}

function layOutBridge(image: RegisterImage, fn: TopologyFunction, isNew: boolean): void {
  const { secondary, subordinate } = fn;
  if (isNew || image.read(Reg.BUS_NUMBERS + 1, 1) !== 0 || secondary !== null) {
    image.put(Reg.BUS_NUMBERS, 1, fn.bus);
    image.put(Reg.BUS_NUMBERS + 1, 1, secondary ?? 0);
    image.put(Reg.BUS_NUMBERS + 2, 1, subordinate ?? 0);
  }
  image.allow(Reg.BUS_NUMBERS, 4, -1);
  image.clearByOne(Reg.SECONDARY_STATUS, 2, PCI_STATUS_ERRORS);
  image.allow(Reg.IO_WINDOW, 2, 0xf0f0);
  image.allow(Reg.MEMORY_WINDOW, 4, 0xfff0_fff0);
  image.allow(Reg.PREFETCH_WINDOW, 4, 0xfff0_fff0);
  for (const at of [Reg.PREFETCH_BASE_UPPER, Reg.PREFETCH_LIMIT_UPPER, Reg.IO_WINDOW_UPPER]) image.allow(at, 4, -1);
  image.allow(Reg.BRIDGE_CONTROL, 2, BRIDGE_CONTROL_WRITABLE);
  image.clearByOne(Reg.BRIDGE_CONTROL, 2, BRIDGE_CONTROL_DISCARD);
  putIoWindow(image, windowOf(fn, 'io'), isNew);
  putMemoryWindow(image, windowOf(fn, 'mem'), isNew);
  putPrefetchWindow(image, windowOf(fn, 'prefetch'), isNew);
}

/** Bus addresses; `null` when the bridge forwards nothing of the kind. */
type Window = { readonly start: number; readonly end: number } | null;

function windowOf(fn: TopologyFunction, kind: BridgeWindowKind): Window {
  const window = fn.windows.find((candidate) => candidate.kind === kind);
  if (window === undefined) return null;
  const offset = kind === 'io' ? 0 : fn.hostBridge.busOffsetAt(window.start);
  return { start: window.start + offset, end: window.end + offset };
}

/** A register whose base lies above its limit forwards nothing. What a dump showed so stays as it is. */
function putIoWindow(image: RegisterImage, window: Window, isNew: boolean): void {
  if (window === null) {
    if (isNew) image.put(Reg.IO_WINDOW, 2, 0x00f0 | WIDE_WINDOW | (WIDE_WINDOW << 8));
    return;
  }
  const wide = isNew || window.end > 0xffff ? WIDE_WINDOW : image.read(Reg.IO_WINDOW, 1) & 0xf;
  image.put(Reg.IO_WINDOW, 1, ((window.start >>> 8) & 0xf0) | wide);
  image.put(Reg.IO_WINDOW + 1, 1, ((window.end >>> 8) & 0xf0) | wide);
  if (wide === 0) return;
  image.put(Reg.IO_WINDOW_UPPER, 2, window.start >>> 16);
  image.put(Reg.IO_WINDOW_UPPER + 2, 2, window.end >>> 16);
}

function putMemoryWindow(image: RegisterImage, window: Window, isNew: boolean): void {
  if (window !== null) image.put(Reg.MEMORY_WINDOW, 4, halves(window, 0));
  else if (isNew) image.put(Reg.MEMORY_WINDOW, 4, 0x0000_fff0);
}

function putPrefetchWindow(image: RegisterImage, window: Window, isNew: boolean): void {
  if (window === null) {
    if (isNew) image.put(Reg.PREFETCH_WINDOW, 4, 0x0000_fff0 | WIDE_WINDOW | (WIDE_WINDOW << 16));
    return;
  }
  const isWide = isNew || window.end > 0xffff_ffff || (image.read(Reg.PREFETCH_WINDOW, 2) & 0xf) === WIDE_WINDOW;
  image.put(Reg.PREFETCH_WINDOW, 4, halves(window, isWide ? WIDE_WINDOW : 0));
  if (!isWide) return;
  image.put(Reg.PREFETCH_BASE_UPPER, 4, Math.floor(window.start / 2 ** 32));
  image.put(Reg.PREFETCH_LIMIT_UPPER, 4, Math.floor(window.end / 2 ** 32));
}

/** Base and limit: bits 31:20 of first and last address. */
function halves({ start, end }: { readonly start: number; readonly end: number }, type: number): number {
  const upper = (address: number): number => (Math.floor(address / MIB) & 0xfff) * 16;
  return (upper(start) | type | ((upper(end) | type) << 16)) >>> 0;
}
