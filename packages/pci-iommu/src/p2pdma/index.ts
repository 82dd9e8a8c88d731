export { calcMapTypeAndDistance, type MapTypeAndDistance } from './calc-map-type.ts';
export { type AcsPolicy, defaultAcsControl, hasIntelWideRegisters } from './default-acs-control.ts';
export { cpuSupportsP2P, hostBridgeDevice, hostBridgeWhitelisted } from './host-bridge-rule.ts';
export { HOST_BRIDGE_WHITELIST, type WhitelistRow } from './host-bridge-whitelist.ts';
export { P2pMapType, p2pMapTypeName } from './map-type.ts';
export { P2pdma, type P2pdmaOptions, type P2pClient, type P2pProvider } from './p2pdma.ts';
