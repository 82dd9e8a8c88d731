import type { BridgeWindowDescription } from '../description/machine-description.ts';
import { PcieType } from '../pcie-type.ts';
import { isBarLine, isRomLine, parseBarLine, parseRomLine } from './bar-line.ts';
import { isBusLine, isWindowLine, parseBusLine, parseWindowLine } from './bridge-line.ts';
import { expressType, isCapabilityLine, parseAcsFlags, parseCapabilityLine } from './capability-line.ts';
import { parseHeaderLine } from './header-line.ts';
import type { LogicalLine } from './logical-lines.ts';
import { type RawBar, type RawCapability, type RawFunction, unknownFunction } from './raw-function.ts';
import { addSriovLine } from './sriov-lines.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const CONTROL_BITS: readonly (readonly [word: string, bit: number])[] = [
  ['I/O+', 0x1],
  ['Mem+', 0x2],
  ['BusMaster+', 0x4],
  ['DisINTx+', 0x400],
];
const GROUP_PATTERN = /\bIOMMU group:? (\d+)/u;
const NUMA_PATTERN = /\bNUMA node:? (\d+)/u;
const DRIVER_PATTERN = /^Kernel driver in use: (\S+)/u;
const FLR_PATTERN = /\bFLReset([+-])/u;
const ADVANCED_FLR_PATTERN = /^AFCap:.*\bFLR([+-])/u;
const MSIX_PATTERN = /^MSI-X: Enable[+-] Count=(\d+)/u;
const MSIX_TABLE_PATTERN = /^Vector table: BAR=(\d) offset=([0-9a-f]+)/iu;

/** A function has no more; what is beyond is noise. */
const MAX_BARS = 6;
const MAX_WINDOWS = 8;
const MAX_CAPABILITIES = 96;

/** What capability the deeper lines belong to. */
type Section = 'none' | 'express' | 'express-control' | 'sriov' | 'msix' | 'advanced-features' | 'other';

/** Collects the lines of one device into a {@link RawFunction}. */
export class FunctionText {
  readonly #facts: Mutable<RawFunction>;
  readonly #bars: RawBar[] = [];
  readonly #windows: BridgeWindowDescription[] = [];
  readonly #capabilities: RawCapability[] = [];
  #section: Section = 'none';
  #acsCap: number | null = null;
  #acsCtrl: number | null = null;
  #capabilitiesHidden = false;
  #hasRegisters = false;
  #hasDetails = false;
  #isClosed = false;

  /** @param facts - what the device's first line tells */
  constructor(facts: RawFunction) {
    this.#facts = { ...facts };
  }

  /** @throws TopologyError when the line is none of a device */
  static ofHeader(header: LogicalLine): FunctionText {
    const facts = parseHeaderLine(header);
    return new FunctionText({ ...unknownFunction(facts.bdf, header.line), ...facts });
  }

  get bdf(): string {
    return this.#facts.bdf;
  }

  /** Whether any line after the first was seen: `lspci` alone and `lspci -x` show none. */
  get hasDetails(): boolean {
    return this.#hasDetails;
  }

  /** The device's lines are known to end here: something else follows them. */
  close(): void {
    this.#isClosed = true;
  }

  /**
   * Takes one line after the first.
   *
   * @throws TopologyError when the line is damaged
   */
  add(line: LogicalLine): void {
    this.#hasDetails = true;
    const { text } = line;
    if (text.startsWith('ACSC')) {
      this.#addAcsLine(line);
      return;
    }
    if (this.#section !== 'none' && !isCapabilityLine(text) && !text.startsWith('Kernel ')) {
      this.#addDeeper(line);
      return;
    }
    this.#section = 'none';
    this.#addAttribute(line);
  }

  /**
   * The facts. When lines were seen that `lspci -v` prints for every device, and their end, then the device has no
   * capability that is not listed.
   */
  finish(): RawFunction {
    const facts = this.#facts;
    facts.bars = this.#bars;
    facts.windows = this.#windows;
    facts.capabilities = this.#capabilities;
    facts.barsShown = this.#hasRegisters;
    const listed = this.#hasRegisters && this.#isClosed && !this.#capabilitiesHidden;
    if (listed) {
      if (facts.pcieType === 'unknown' && !facts.capabilities.some((cap) => cap.name.startsWith('Express'))) {
        facts.pcieType = null;
      }
      facts.pm ??= false;
      facts.ats ??= false;
      if (facts.pcieType === null) facts.flr ??= false;
    }
    this.#concludeAcs(listed);
    return facts;
  }

  #concludeAcs(listed: boolean): void {
    const facts = this.#facts;
    if (this.#acsCap !== null && this.#acsCtrl !== null) facts.acs = { cap: this.#acsCap, ctrl: this.#acsCtrl };
    else if (this.#acsCtrl !== null) facts.acsControlIfAny = this.#acsCtrl;
    else if (!facts.acsListed && listed) facts.acs = null;
  }

  #addAttribute(line: LogicalLine): void {
    const { text } = line;
    if (isCapabilityLine(text)) this.#addCapability(line);
    else if (isBarLine(text)) this.#addBar(line);
    else if (isRomLine(text)) this.#facts.rom = parseRomLine(line);
    else if (isBusLine(text)) this.#facts.bus = parseBusLine(line);
    else if (isWindowLine(text)) this.#addWindow(line);
    else this.#addSimple(text);
  }

  #addSimple(text: string): void {
    if (text.startsWith('Control: ')) this.#facts.command = commandOf(text);
    if (text.startsWith('Control: ') || text.startsWith('Flags: ')) this.#hasRegisters = true;
    if (text.startsWith('Kernel ')) this.#isClosed = true;
    const group = GROUP_PATTERN.exec(text)?.[1];
    if (group !== undefined) this.#facts.iommuGroup = Number(group);
    const node = NUMA_PATTERN.exec(text)?.[1];
    if (node !== undefined) this.#facts.numaNode = Number(node);
    const driver = DRIVER_PATTERN.exec(text)?.[1];
    if (driver !== undefined) this.#facts.driver = driver;
  }

  #addWindow(line: LogicalLine): void {
    const window = parseWindowLine(line);
    if (window !== null && this.#windows.length < MAX_WINDOWS) this.#windows.push(window);
  }

  #addBar(line: LogicalLine): void {
    const bar = parseBarLine(line);
    if (this.#bars.length < MAX_BARS) this.#bars.push(bar);
  }

  #addCapability(line: LogicalLine): void {
    const capability = parseCapabilityLine(line);
    this.#section = 'other';
    if (capability === null) {
      this.#capabilitiesHidden = true;
      return;
    }
    const facts = this.#facts;
    if (this.#capabilities.length < MAX_CAPABILITIES) this.#capabilities.push(capability);
    const { name } = capability;
    const type = expressType(name);
    const msix = MSIX_PATTERN.exec(name)?.[1];
    if (type !== undefined) {
      facts.pcieType = type;
      this.#section = 'express';
    } else if (name.startsWith('Power Management')) facts.pm = true;
    else if (name.startsWith('Address Translation Service')) facts.ats = true;
    else if (name.startsWith('Access Control Services')) facts.acsListed = true;
    else if (name.startsWith('Single Root I/O Virtualization')) this.#section = 'sriov';
    else if (name.startsWith('PCI Advanced Features')) this.#section = 'advanced-features';
    else if (msix !== undefined) {
      facts.msix = { vectors: Number(msix), tableBar: null, tableOffset: null };
      this.#section = 'msix';
    }
  }

  #addDeeper(line: LogicalLine): void {
    switch (this.#section) {
      case 'express':
        this.#addExpressLine(line.text);
        break;
      case 'sriov':
        this.#facts.sriov = addSriovLine(this.#facts.sriov, line.text);
        break;
      case 'msix':
        this.#addMsixTable(line.text);
        break;
      case 'advanced-features': {
        const mark = ADVANCED_FLR_PATTERN.exec(line.text)?.[1];
        if (mark === '+') this.#facts.flr = true;
        break;
      }
      case 'express-control':
      case 'other':
      case 'none':
        break;
    }
  }

  /** No other lines start like these, so they are read without the line of their capability too (`lspci | grep ACS`). */
  #addAcsLine(line: LogicalLine): void {
    if (line.text.startsWith('ACSCap:')) this.#acsCap = parseAcsFlags(line);
    else if (line.text.startsWith('ACSCtl:')) this.#acsCtrl = parseAcsFlags(line);
  }

  /**
   * FLReset in DevCap tells the ability; the flag of the same name in DevCtl is the trigger. Ports have none; old
   * versions of lspci do not show it for integrated endpoints, where its absence says nothing.
   */
  #addExpressLine(text: string): void {
    if (text.startsWith('DevCtl:')) {
      this.#section = 'express-control';
      if (this.#facts.pcieType !== PcieType.RootComplexEndpoint) this.#facts.flr ??= false;
      return;
    }
    const mark = FLR_PATTERN.exec(text)?.[1];
    if (mark !== undefined) this.#facts.flr = mark === '+' || this.#facts.flr === true;
  }

  #addMsixTable(text: string): void {
    const match = MSIX_TABLE_PATTERN.exec(text);
    if (match === null || this.#facts.msix === null) return;
    this.#facts.msix = {
      ...this.#facts.msix,
      tableBar: Number(match[1]),
      tableOffset: Number.parseInt(match[2] ?? '', 16),
    };
  }
}

function commandOf(text: string): number {
  let command = 0;
  for (const [word, bit] of CONTROL_BITS) if (text.split(' ').includes(word)) command |= bit;
  return command;
}
