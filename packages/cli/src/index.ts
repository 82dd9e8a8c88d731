export { runCli } from './run-cli.ts';
export type { GroupComparison } from './topo/group-comparison.ts';
export type { TopoDevice, TopoDocument, TopoGroup, TopoP2p } from './topo/topo-document.ts';
