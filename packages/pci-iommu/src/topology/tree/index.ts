export { type BarHit, type BarOwner } from './bar-index.ts';
export { HostBridge } from './host-bridge.ts';
export { type MemoryWindow, Topology } from './topology.ts';
export { type AcsState, describedAcs, TopologyFunction } from './topology-function.ts';
