import { devfnOf, type Topology, type TopologyFunction } from '../topology/index.ts';
import { deviceIds } from './device-ids.ts';

/** Which requester ids a function uses besides its own. */
interface AliasRow {
  readonly vendor: number;
  readonly devices: ReadonlySet<number>;
  /** Device and function numbers on the same bus; the function's own may be among them. */
  readonly devfns: (fn: TopologyFunction) => readonly number[];
}

const everyDevfn = Array.from({ length: 0x100 }, (_, i) => i);

function row(vendor: number, devices: string, devfns: AliasRow['devfns']): AliasRow {
  return { vendor, devices: deviceIds(devices), devfns };
}

function inNameOf(func: number): AliasRow['devfns'] {
  return ({ slot }) => [devfnOf({ slot, func })];
}

/** The same functions of every device number. */
function inNameOfAll(functions: number): AliasRow['devfns'] {
  const devfns = everyDevfn.filter((devfn) => devfn % 8 < functions);
  return () => devfns;
}

/**
 * Functions that send requests in another one's name. (Adaptec 3405 and 3805 do too, but are told from others by subsystem ids,
 * which a description does not have.)
 *
 * @kernel pci_add_dma_alias
 */
const ALIASES: readonly AliasRow[] = [
  // Ricoh card readers, Glenfly
  row(0x1180, 'e832 e476', inNameOf(0)),
  row(0x6766, '3d40 3d41', inNameOf(0)),
  // SATA controllers of Marvell, HighPoint, JMicron and Lite-On: in the name of a function that may not exist
  row(0x1b4b, '9120 9123 9125 9128 9130 9170 9172 917a 9182 9183 91a0 9215 9220 9230 9235', inNameOf(1)),
  row(0x1103, '0642 0645', inNameOf(1)),
  row(0x197b, '2392', inNameOf(1)),
  row(0x1c28, '0122', inNameOf(1)),
  // Xeon Phi x200
  row(0x8086, '2260 2264', () => [
    devfnOf({ slot: 0x10, func: 0 }),
    devfnOf({ slot: 0x11, func: 0 }),
    devfnOf({ slot: 0x12, func: 3 }),
  ]),
  // Intel VCA
  row(0x8086, '2954-2956 2958-295a', inNameOfAll(5)),
  // PLX non-transparent bridges
  row(0x10b5, '87b0 87b1', inNameOfAll(8)),
];

/** Volume management devices: functions behind one stand in a domain of their own. */
const VMD_DEVICES = deviceIds('201d 28c0 467f 4c3d 7d0b a77f ad0b b06f b60b 9a0b');
const FIRST_VMD_DOMAIN = 0x1_0000;
const INTEL = 0x8086;

/** Whose requests a function's requests look like. */
export class DmaAliases {
  readonly #topology: Topology;
  readonly #vmdOfDomain: ReadonlyMap<number, TopologyFunction>;
  /** Device and function numbers on its bus that a function also uses; most use none. */
  readonly #devfns = new Map<TopologyFunction, ReadonlySet<number>>();

  constructor(topology: Topology) {
    this.#topology = topology;
    for (const fn of topology.functions) {
      const found = ALIASES.find(({ vendor, devices }) => vendor === fn.vendor && devices.has(fn.device ?? -1));
      if (found !== undefined) this.#devfns.set(fn, new Set(found.devfns(fn)));
    }
    const domains = [...new Set(topology.hostBridges.map(({ domain }) => domain))]
      .filter((domain) => domain >= FIRST_VMD_DOMAIN)
      .toSorted((a, b) => a - b);
    const vmds = topology.functions.filter(({ vendor, device }) => vendor === INTEL && VMD_DEVICES.has(device ?? -1));
    this.#vmdOfDomain = new Map(
      domains.flatMap((domain, i) => (vmds[i] === undefined ? [] : [[domain, vmds[i]] as const])),
    );
  }

  /** The function that stands for another one on the bus: behind a volume management device, that device. @kernel pci_real_dma_dev */
  realFunction(fn: TopologyFunction): TopologyFunction {
    return this.#vmdOfDomain.get(fn.domain) ?? fn;
  }

  /** Whether one of two functions uses the other's name. @kernel pci_devs_are_dma_aliases */
  areAliases(a: TopologyFunction, b: TopologyFunction): boolean {
    return this.#uses(a, b) || this.#uses(b, a) || this.realFunction(a) === b || this.realFunction(b) === a;
  }

  #uses(fn: TopologyFunction, other: TopologyFunction): boolean {
    return this.#devfns.get(fn)?.has(other.devfn) === true;
  }

  /**
   * The functions in whose name a request arrives, from the function itself up: bridges to conventional PCI take requests over.
   *
   * @kernel pci_for_each_dma_alias
   */
  chain(fn: TopologyFunction): readonly TopologyFunction[] {
    const start = this.realFunction(fn);
    const chain = [start];
    for (let at = this.#topology.upstreamBridge(start); at !== null; at = this.#topology.upstreamBridge(at)) {
      if (takesRequestsOver(at)) chain.push(at);
    }
    return chain;
  }
}

function takesRequestsOver(bridge: TopologyFunction): boolean {
  return bridge.kind === 'pcie-to-pci-bridge' || bridge.kind === 'pci-to-pcie-bridge' || bridge.kind === 'pci-bridge';
}
