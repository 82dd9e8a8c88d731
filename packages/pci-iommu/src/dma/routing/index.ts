export { buildRouteTable } from './build-route-table.ts';
export { BusTree, requesterIdAbove, requesterIdAtRoot } from './bus-tree.ts';
export type { Span } from './claim-map.ts';
export { DESCRIBED_REGISTERS, describedWindows, type RouteRegisters } from './route-registers.ts';
export { type PeerRange, type Refusal, RouteTable } from './route-table.ts';
export { type Gate, Router } from './router.ts';
