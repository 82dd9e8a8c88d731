import {
  type AcsKnowledge,
  type AcsSetup,
  type BarDescription,
  type FunctionKind,
  type MachineFormat,
  type P2pExplanation,
  type ReadingWarning,
  type TopologyClass,
  type Unknown,
  topologyClass,
} from '@dmabuf-emu/pci-iommu';
import type { GroupComparison } from './group-comparison.ts';
import type { MachineView, P2pTable } from './machine-view.ts';

/** Schema name of the document. */
const TOPO_SCHEMA = 'dmabuf-emu/topo@1';

/** What `topo --json` prints. All functions are named `dddd:bb:dd.f`. */
export interface TopoDocument {
  readonly schema: typeof TOPO_SCHEMA;
  readonly source: { readonly name: string; readonly format: MachineFormat };
  /** What the answers are for: `--iommu` and how ACS was configured. */
  readonly setup: AcsSetup;
  readonly devices: readonly TopoDevice[];
  /** Groups as they are with an IOMMU. */
  readonly groups: readonly TopoGroup[];
  readonly p2p: readonly TopoP2p[];
  readonly unknowns: readonly Unknown[];
  readonly warnings: readonly ReadingWarning[];
  /** With `--expect-groups`: how the groups compare with the listing. */
  readonly groupComparison?: GroupComparison;
}

/** One function of the machine. */
export interface TopoDevice {
  readonly bdf: string;
  readonly vendor: number | null;
  readonly device: number | null;
  /** Class, subclass and programming interface in 24 bits. */
  readonly class: number | null;
  /** Name in the list of PCI ids, else what is known. */
  readonly name: string;
  /** Label of the description, or the name that the function has in the source where that is another than here. */
  readonly label: string | null;
  readonly kind: FunctionKind;
  /** The bridge above; `null` on root buses. */
  readonly parent: string | null;
  readonly numaNode: number | null;
  readonly bars: readonly BarDescription[];
  /** ACS registers as the source shows them; `null` without the capability. */
  readonly acs: AcsKnowledge;
  /** Whether it sends traffic of peers to the root complex, under the setup; `null` when that is not known. */
  readonly acsRedirects: boolean | null;
}

export interface TopoGroup {
  readonly id: number;
  readonly devices: readonly string[];
  /** What is not known and could make it another group. */
  readonly restsOn: readonly string[];
}

/** How `to` reaches the memory of `from`. */
export interface TopoP2p {
  readonly from: string;
  readonly to: string;
  readonly type: P2pExplanation['type'];
  readonly distance: number;
  /** How near they are, in the words of `nvidia-smi topo -m`. */
  readonly near: TopologyClass;
  readonly because: string;
}

/** The document of a machine and some pairs. */
export function topoDocument(
  view: MachineView,
  table: P2pTable,
  comparison: GroupComparison | undefined,
): TopoDocument {
  const { reading, topology } = view;
  const shown = new Map(reading.description.functions.map(({ bdf, acs }) => [bdf, acs]));
  return {
    schema: TOPO_SCHEMA,
    source: reading.source,
    setup: view.setup,
    devices: topology.functions.map((fn) => {
      const mark = view.acsMark(fn);
      return {
        bdf: fn.bdf,
        vendor: fn.vendor,
        device: fn.device,
        class: fn.classCode,
        name: view.names.of(fn),
        label: fn.description.name ?? null,
        kind: fn.kind,
        parent: topology.upstreamBridge(fn)?.bdf ?? null,
        numaNode: fn.description.numaNode ?? null,
        bars: fn.bars,
        acs: shown.get(fn.bdf) ?? null,
        acsRedirects: mark === 'unknown' ? null : mark === 'redirects',
      };
    }),
    groups: view.groups.map(({ id, functions, restsOn }) => ({
      id,
      devices: functions.map(({ bdf }) => bdf),
      restsOn,
    })),
    p2p: Array.from(table.pairs(), ({ from, to, answer: { type, distance, because } }) => ({
      from: from.fn.bdf,
      to: to.fn.bdf,
      type,
      distance,
      near: topologyClass(topology, from.fn, to.fn),
      because,
    })),
    unknowns: reading.unknowns,
    warnings: reading.warnings,
    ...(comparison === undefined ? {} : { groupComparison: comparison }),
  };
}
