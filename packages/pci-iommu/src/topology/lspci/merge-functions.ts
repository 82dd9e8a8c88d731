import { decodeConfig } from './decode-config.ts';
import type { RawBar, RawFunction } from './raw-function.ts';

/**
 * Joins what text and config bytes tell of one function. Bytes win over words, except for BAR addresses and bridge
 * windows: registers hold bus addresses, the text shows the kernel's physical ones.
 */
export function withConfig(text: RawFunction, config: Uint8Array): RawFunction {
  const facts = decodeConfig(config);
  return {
    ...text,
    vendor: facts.vendor ?? text.vendor,
    device: facts.device ?? text.device,
    idsByName: facts.device === null && text.idsByName,
    class: facts.class,
    revision: facts.revision,
    command: facts.command,
    headerType: facts.headerType,
    multifunction: facts.multifunction,
    barsShown: true,
    barRegisters: facts.barRegisters,
    bars: mergeBars(text, facts.barRegisters ?? []),
    bus: facts.bus ?? text.bus,
    windows: text.windows.length > 0 ? text.windows : facts.windows,
    capabilities: mergeCapabilities(text, facts),
    pcieType: facts.pcieType === 'unknown' ? text.pcieType : facts.pcieType,
    acs: facts.acs === 'unknown' ? text.acs : facts.acs,
    flr: facts.flr ?? text.flr,
    pm: facts.pm ?? text.pm,
    ats: facts.ats ?? text.ats,
    sriov: facts.sriov ?? text.sriov,
    msix: facts.msix ?? text.msix,
    config,
  };
}

/**
 * Text BARs with the register's kind; registers that the text does not show are added without size, unless they hold no
 * address either and the text would show them if they were used.
 */
function mergeBars(text: RawFunction, registers: readonly RawBar[]): readonly RawBar[] {
  const merged = text.bars.map((bar) => {
    const register = registers.find((candidate) => candidate.index === bar.index);
    if (register === undefined) return bar;
    return {
      ...bar,
      kind: register.kind,
      prefetchable: register.prefetchable,
      address: bar.address ?? register.address,
    };
  });
  const numbered = text.bars.every((bar) => bar.index !== null);
  const shown = new Set(text.bars.map((bar) => bar.index));
  const missing = numbered
    ? registers.filter((bar) => !shown.has(bar.index) && !(text.barsShown && bar.address === 0))
    : [];
  return [...merged, ...missing].toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0));
}

/** The bytes' list where it reaches, with the names of the text; extended entries from the text when bytes end early. */
function mergeCapabilities(
  text: Pick<RawFunction, 'capabilities'>,
  facts: Pick<RawFunction, 'capabilities'>,
): RawFunction['capabilities'] {
  const names = new Map(text.capabilities.map((capability) => [capability.offset, capability.name]));
  const known = facts.capabilities.map((capability) => ({ ...capability, name: names.get(capability.offset) ?? '' }));
  const offsets = new Set(known.map((capability) => capability.offset));
  return [...known, ...text.capabilities.filter((capability) => !offsets.has(capability.offset))];
}

const hexText = (value: number | null | undefined): string => `0x${(value ?? 0).toString(16)}`;
const COMMAND_IN_WORDS = 0x407;

/** What the words of a function and its config bytes tell differently, one sentence each. */
export function differences(words: RawFunction, config: Uint8Array): readonly string[] {
  const bytes = decodeConfig(config);
  const found: string[] = [];
  const compare = (what: string, a: number | null, b: number | null): void => {
    if (a !== null && b !== null && a !== b) found.push(`${what} is ${hexText(a)} in words, ${hexText(b)} in bytes`);
  };
  compare('vendor', words.vendor, bytes.vendor);
  if (!words.idsByName) compare('device', words.device, bytes.device);
  compare('class', shortClass(words.class), shortClass(bytes.class));
  compare('revision', words.revision, bytes.revision);
  if (words.command !== null) compare('command', words.command, (bytes.command ?? 0) & COMMAND_IN_WORDS);
  compare('secondary bus', words.bus?.secondary ?? null, bytes.bus?.secondary ?? null);
  compare('subordinate bus', words.bus?.subordinate ?? null, bytes.bus?.subordinate ?? null);
  compare('PCIe type', typeNumber(words.pcieType), typeNumber(bytes.pcieType));
  const [a, b] = [words.acs, bytes.acs];
  if (a !== 'unknown' && b !== 'unknown' && (a === null) !== (b === null)) {
    found.push(`ACS is ${a === null ? 'absent' : 'there'} in words, ${b === null ? 'absent' : 'there'} in bytes`);
  }
  if (a !== 'unknown' && b !== 'unknown' && a !== null && b !== null) {
    compare('ACS capability', a.cap, b.cap);
    compare('ACS control', a.ctrl, b.ctrl);
  }
  compare('number of virtual functions', words.sriov?.numVfs ?? null, bytes.sriov?.numVfs ?? null);
  for (const bar of words.bars) {
    const register = bytes.barRegisters?.find((candidate) => candidate.index === bar.index);
    if (register !== undefined && register.kind !== bar.kind) {
      found.push(`BAR ${bar.index} is ${bar.kind} in words, ${register.kind} in bytes`);
    }
  }
  return found;
}

function shortClass(value: number | null): number | null {
  return value === null ? null : value >>> 8;
}

function typeNumber(type: RawFunction['pcieType']): number | null {
  return type === 'unknown' ? null : (type ?? NOT_PCIE);
}

/** Stands for "no PCIe capability" in messages: no device/port type has this number. */
const NOT_PCIE = 0xff;
