import type { HostBridge, TopologyFunction } from '@dmabuf-emu/pci-iommu';
import type { ChosenDevice } from '../choose-devices.ts';

/** A place in the picture, in its units. */
export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A port, a device, or a line for functions that nobody asks about. */
export type Box = Rectangle &
  (
    | { readonly kind: 'port'; readonly fn: TopologyFunction }
    | { readonly kind: 'device'; readonly fn: TopologyFunction; readonly label: string }
    | { readonly kind: 'folded'; readonly text: string }
  );

/** A line from a port to what is behind it; `child` is `null` for what is folded. */
export interface Edge {
  readonly parent: TopologyFunction;
  readonly child: TopologyFunction | null;
  readonly from: { readonly x: number; readonly y: number };
  readonly to: { readonly x: number; readonly y: number };
}

/** Everything below one host bridge. */
export interface Block extends Rectangle {
  readonly hostBridge: HostBridge;
  /** NUMA node of what is below; `null` when it is not known or not one. */
  readonly numaNode: number | null;
}

/** Ports that are one switch. */
export interface Frame extends Rectangle {
  readonly upstream: TopologyFunction;
}

/** One answer between two devices. */
export interface HeatCell extends Rectangle {
  readonly row: number;
  readonly column: number;
}

/** Who reaches whose memory, as coloured squares. */
export interface HeatMap extends Rectangle {
  /** Devices that have a row and a column; the first ones when there are too many. */
  readonly devices: readonly ChosenDevice[];
  readonly cells: readonly HeatCell[];
  readonly cellWidth: number;
  readonly cellHeight: number;
  /** Where the cells begin. */
  readonly originX: number;
  readonly originY: number;
}

/** All shapes of a picture. */
export interface Scene {
  readonly width: number;
  readonly height: number;
  readonly blocks: readonly Block[];
  readonly frames: readonly Frame[];
  readonly boxes: readonly Box[];
  readonly edges: readonly Edge[];
  readonly heatMap: HeatMap;
}
