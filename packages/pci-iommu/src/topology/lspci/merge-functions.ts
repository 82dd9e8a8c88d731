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
    class: facts.class,
    revision: facts.revision,
    command: facts.command,
    headerType: facts.headerType,
    multifunction: facts.multifunction,
    barsShown: true,
    barRegisters: facts.barRegisters,
    bars: mergeBars(text.bars, facts.barRegisters ?? []),
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

/** Text BARs with the register's kind; registers that the text does not show are added without size. */
function mergeBars(text: readonly RawBar[], registers: readonly RawBar[]): readonly RawBar[] {
  const merged = text.map((bar) => {
    const register = registers.find((candidate) => candidate.index === bar.index);
    if (register === undefined) return bar;
    return {
      ...bar,
      kind: register.kind,
      prefetchable: register.prefetchable,
      address: bar.address ?? register.address,
    };
  });
  const numbered = text.every((bar) => bar.index !== null);
  const shown = new Set(text.map((bar) => bar.index));
  const missing = numbered ? registers.filter((bar) => !shown.has(bar.index)) : [];
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
