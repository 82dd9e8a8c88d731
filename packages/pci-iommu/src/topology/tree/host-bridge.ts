import { formatBus } from '../bdf.ts';
import type { HostBridgeDescription, HostWindowDescription } from '../description/machine-description.ts';

/**
 * A root complex's door to one root bus, with the physical address windows that it forwards.
 *
 * @kernel struct pci_host_bridge
 */
export class HostBridge {
  /** Position in `Topology.hostBridges`. */
  readonly index: number;
  readonly domain: number;
  /** Root bus number. */
  readonly bus: number;
  /** Last bus number below. */
  readonly busEnd: number;
  /** Memory windows in ascending order of physical address. */
  readonly windows: readonly HostWindowDescription[];
  /** What devices can reach of physical memory, in ascending order of bus address; empty: everything, as it is. */
  readonly dmaRanges: readonly HostWindowDescription[];
  /** The bus may be behind any bridge: the source shows none that leads to it. */
  readonly assumed: boolean;

  constructor(description: HostBridgeDescription, index: number, busEnd: number) {
    this.index = index;
    this.domain = description.domain;
    this.bus = description.bus;
    this.busEnd = busEnd;
    this.windows = description.windows.toSorted((a, b) => a.start - b.start);
    this.dmaRanges = (description.dmaRanges ?? []).toSorted((a, b) => a.start + a.busOffset - b.start - b.busOffset);
    this.assumed = description.assumed === true;
  }

  /** Name of the root bus, such as `0000:40`. */
  get name(): string {
    return formatBus(this.domain, this.bus);
  }

  /** The window that holds a physical address. */
  windowOf(physical: number): HostWindowDescription | undefined {
    return this.windows.find((window) => physical >= window.start && physical <= window.end);
  }

  /** The window that holds a bus address. */
  windowOfBusAddress(address: number): HostWindowDescription | undefined {
    return this.windows.find(
      (window) => address >= window.start + window.busOffset && address <= window.end + window.busOffset,
    );
  }

  /** Bus address minus physical address at a physical address; 0 outside every window. */
  busOffsetAt(physical: number): number {
    return this.windowOf(physical)?.busOffset ?? 0;
  }

  toString(): string {
    return this.name;
  }
}
