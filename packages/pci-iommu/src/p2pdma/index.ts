export { calcMapTypeAndDistance, type MapTypeAndDistance } from './calc-map-type.ts';
export { explainP2p, type P2pExplanation } from './explain-p2p.ts';
export { cpuSupportsP2P, hostBridgeDevice, hostBridgeWhitelisted } from './host-bridge-rule.ts';
export { HOST_BRIDGE_WHITELIST, type WhitelistRow, whitelistWithout } from './host-bridge-whitelist.ts';
export { P2pMapType, p2pMapTypeName } from './map-type.ts';
export type { P2pHop } from './p2p-path.ts';
export type { P2pSetup, P2pVerdict } from './p2p-setup.ts';
export { numaNodeOf, type TopologyClass, topologyClass } from './topology-class.ts';
export { P2pdma, type P2pdmaOptions, type P2pClient, type P2pProvider } from './p2pdma.ts';
