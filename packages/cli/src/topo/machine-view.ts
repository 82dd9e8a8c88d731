import {
  type AcsSetup,
  acsStateOf,
  type Bdf,
  explainP2p,
  type IommuGroup,
  iommuGroups,
  type KernelAcs,
  type MachineDescription,
  type MachineReading,
  type P2pExplanation,
  Topology,
  type TopologyFunction,
} from '@dmabuf-emu/pci-iommu';
import { type ChosenDevice } from './choose-devices.ts';
import { type AcsMark, acsMark } from './function-facts.ts';
import { FunctionNames } from './function-names.ts';

/** A machine under one setup, with what every picture of it needs. */
export class MachineView {
  readonly reading: MachineReading;
  readonly topology: Topology;
  readonly setup: AcsSetup;
  readonly names: FunctionNames;
  /** Groups as they are with an IOMMU; without one there are none. */
  readonly groups: readonly IommuGroup[];
  readonly #acs: KernelAcs;
  readonly #groupOf = new Map<Bdf, IommuGroup>();

  /** @param description - the machine that the setup meets, where that is another than the source shows */
  constructor(reading: MachineReading, setup: AcsSetup, description: MachineDescription = reading.description) {
    this.reading = reading;
    this.topology = new Topology(description);
    this.setup = setup;
    this.names = new FunctionNames(this.topology);
    this.groups = iommuGroups(this.topology, { ...setup, iommu: true });
    this.#acs = acsStateOf(this.topology, setup);
    for (const group of this.groups) for (const fn of group.functions) this.#groupOf.set(fn.bdf, group);
  }

  /** The group of a function; `null` for one that is in none. */
  groupOf(fn: TopologyFunction): IommuGroup | null {
    return this.#groupOf.get(fn.bdf) ?? null;
  }

  acsMark(fn: TopologyFunction): AcsMark {
    return acsMark(this.#acs, fn);
  }

  explain(provider: TopologyFunction, client: TopologyFunction): P2pExplanation {
    return explainP2p(this.topology, provider, client, this.setup);
  }
}

/** One answer between two devices: how `to` reaches the memory of `from`. */
export interface P2pPair {
  readonly from: ChosenDevice;
  readonly to: ChosenDevice;
  readonly answer: P2pExplanation;
}

/** Answers between all of some devices, both ways: row is the one whose memory is reached, column the one that reaches. */
export class P2pTable {
  readonly devices: readonly ChosenDevice[];
  readonly #rows: readonly (readonly P2pExplanation[])[];

  readonly #withSelf: boolean;

  /** @param withSelf - a device's answer for its own memory is one of the pairs */
  constructor(view: MachineView, devices: readonly ChosenDevice[], withSelf = false) {
    this.devices = devices;
    this.#withSelf = withSelf;
    this.#rows = devices.map((from) => devices.map((to) => view.explain(from.fn, to.fn)));
  }

  at(row: number, column: number): P2pExplanation {
    return this.#rows[row]![column]!;
  }

  /** Every ordered pair of devices. */
  *pairs(): Generator<P2pPair> {
    for (const [row, from] of this.devices.entries()) {
      for (const [column, to] of this.devices.entries()) {
        if (row !== column || this.#withSelf) yield { from, to, answer: this.at(row, column) };
      }
    }
  }
}
