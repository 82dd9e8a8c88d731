import type { RawFunction } from './raw-function.ts';

/** What `known` does not tell is taken from another source about the same function. */
export function fillUnknown(known: RawFunction, other: RawFunction): RawFunction {
  const identity = known.device === null || (known.idsByName && other.device !== null && !other.idsByName);
  return {
    ...known,
    vendor: identity ? (other.vendor ?? known.vendor) : known.vendor,
    device: identity ? (other.device ?? known.device) : known.device,
    idsByName: identity && other.device !== null ? other.idsByName : known.idsByName,
    class: known.class ?? other.class,
    className: known.className === '' ? other.className : known.className,
    deviceName: known.deviceName === '' ? other.deviceName : known.deviceName,
    revision: known.revision ?? other.revision,
    command: known.command ?? other.command,
    headerType: known.headerType ?? other.headerType,
    multifunction: known.multifunction ?? other.multifunction,
    bars: known.bars.length > 0 ? known.bars : other.bars,
    barsShown: known.barsShown || other.barsShown,
    barRegisters: known.barRegisters ?? other.barRegisters,
    rom: known.rom ?? other.rom,
    bus: known.bus ?? other.bus,
    windows: known.windows.length > 0 ? known.windows : other.windows,
    capabilities: known.capabilities.length > 0 ? known.capabilities : other.capabilities,
    pcieType: known.pcieType === 'unknown' ? other.pcieType : known.pcieType,
    acs: known.acs === 'unknown' ? other.acs : known.acs,
    acsControlIfAny: known.acsControlIfAny ?? other.acsControlIfAny,
    acsListed: known.acsListed || other.acsListed,
    flr: known.flr ?? other.flr,
    pm: known.pm ?? other.pm,
    ats: known.ats ?? other.ats,
    sriov: known.sriov ?? other.sriov,
    msix: known.msix ?? other.msix,
    iommuGroup: known.iommuGroup ?? other.iommuGroup,
    driver: known.driver ?? other.driver,
    numaNode: known.numaNode ?? other.numaNode,
    config: known.config ?? other.config,
    ...(known.physfn === undefined && other.physfn !== undefined ? { physfn: other.physfn } : {}),
  };
}
