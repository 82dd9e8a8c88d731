export { CONFIG_SIZES } from './config-bytes.ts';
export { type ConfigFacts, decodeConfig } from './decode-config.ts';
export { withConfig } from './merge-functions.ts';
export { type LspciListing, parseLspci } from './parse-lspci.ts';
export { parseLspciTree } from './parse-lspci-tree.ts';
export type { RawBar, RawBusNumbers, RawCapability, RawFunction, RawMsix, RawRom } from './raw-function.ts';
