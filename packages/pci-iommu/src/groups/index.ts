export { type Isolation, IsolationTest } from './acs-isolation.ts';
export { ACS_QUIRKS, type AcsQuirkRow, type AcsRule } from './acs-quirks.ts';
export type { AcsSetup } from './acs-setup.ts';
export { acsStateOf, type KernelAcs } from './acs-state.ts';
export type { AcsWord } from './acs-word.ts';
export { type ConfigAcsEntry, parseConfigAcs } from './config-acs.ts';
export { type DevicePattern, parseDevicePattern } from './device-pattern.ts';
export { type GroupDifference, groupDifferences } from './group-differences.ts';
export { type GroupJoin, type IommuGroup, iommuGroups } from './iommu-groups.ts';
