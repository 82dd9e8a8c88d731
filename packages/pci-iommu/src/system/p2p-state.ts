import { atomicCas, atomicLoad, kmemSlab, type Machine } from '@dmabuf-emu/shm';
import { FunctionStruct } from '../config-space/function-state.ts';
import {
  calcMapTypeAndDistance,
  P2pMapType,
  P2pdma,
  P2pmem,
  type P2pClient,
  type P2pProvider,
} from '../p2pdma/index.ts';
import type { AcsState, Topology, TopologyFunction } from '../topology/index.ts';

const F = FunctionStruct;
const ANSWERS_PER_WORD = 8;
const BITS = 4;

/**
 * Peer-to-peer DMA of a machine: like `P2pdma`, with everything that it remembers in the arena, so that all threads give the
 * same answers.
 *
 * @kernel drivers/pci/p2pdma.c
 */
export class P2pState {
  readonly topology: Topology;
  readonly #machine: Machine;
  readonly #acs: AcsState;
  readonly #stateOf: (fn: TopologyFunction) => number;
  readonly #providers: P2pdma;
  /** Memory of BARs to allocate. */
  readonly memory: P2pmem;

  /** @param stateOf - word of a function's state */
  constructor(machine: Machine, topology: Topology, acs: AcsState, stateOf: (fn: TopologyFunction) => number) {
    this.topology = topology;
    this.#machine = machine;
    this.#acs = acs;
    this.#stateOf = stateOf;
    this.#providers = new P2pdma(topology);
    this.memory = new P2pmem({
      machine,
      topology,
      stateOf,
      init: (fn) => this.init(fn),
      isInitialised: (fn) => this.isInitialised(fn),
      distanceMany: (provider, clients) => this.distanceMany(provider, clients),
    });
  }

  /**
   * Makes a function's memory BARs available as targets. Doing it again changes nothing.
   *
   * @returns `'EOPNOTSUPP'` when the BARs cannot be mapped, else `null`
   * @throws KernelError ENOMEM
   * @kernel pcim_p2pdma_init
   */
  init(fn: TopologyFunction): 'EOPNOTSUPP' | null {
    if (fn.description.nonMappableBars === true) return 'EOPNOTSUPP';
    const { mem } = this.#machine;
    const p = this.#stateOf(fn);
    if (F.p2pInit.load(mem, p) !== 0) return null;
    const answers = this.#slab.alloc('pcim_p2pdma_init');
    if (F.p2pAnswers.cas(mem, p, 0, answers) !== 0) this.#slab.free(answers, 'pcim_p2pdma_init');
    F.p2pInit.store(mem, p, 1);
    return null;
  }

  /** Whether {@link init} was done and not released. */
  isInitialised(fn: TopologyFunction): boolean {
    return F.p2pInit.load(this.#machine.mem, this.#stateOf(fn)) !== 0;
  }

  /**
   * The provider of one BAR.
   *
   * @returns `null` when the BAR is not memory or cannot be mapped, or (with a WARN) before {@link init}
   * @kernel pcim_p2pdma_provider
   */
  provider(fn: TopologyFunction, bar: number): P2pProvider | null {
    this.#providers.init(fn);
    const provider = this.#providers.provider(fn, bar);
    if (provider === null || this.isInitialised(fn)) return provider;
    this.#machine.diag.warn('p2pdma-not-initialised', `provider of ${fn.bdf} BAR ${bar} asked for before init`);
    return null;
  }

  /** Forgets a function's answers: its driver is gone, and so are all mappings of its BARs. */
  release(fn: TopologyFunction): void {
    const { mem } = this.#machine;
    const p = this.#stateOf(fn);
    this.memory.release(fn);
    F.p2pInit.store(mem, p, 0);
    const answers = F.p2pAnswers.exchange(mem, p, 0);
    if (answers !== 0) this.#slab.free(answers, 'pcim_p2pdma_release');
  }

  /**
   * How a client must address a provider's BARs. The first answer for a client is remembered, whatever ACS does later.
   *
   * @kernel pci_p2pdma_map_type
   */
  mapType(provider: TopologyFunction, client: P2pClient): P2pMapType {
    if (client === null || !this.isInitialised(provider)) return P2pMapType.NOT_SUPPORTED;
    const { word, shift } = this.#slot(provider, client);
    const known = word === 0 ? 0 : (atomicLoad(this.#machine.mem, word) >>> shift) & (2 ** BITS - 1);
    return known === 0 ? this.#calculate(provider, client).mapType : (known as P2pMapType);
  }

  /**
   * Sum of the distances from a provider to all clients; every step is calculated anew and remembered.
   *
   * @param clients - each one's nearest PCI function; `null` when a client has none
   * @returns -1 when there are no clients, when one is not on PCI or when one cannot reach the provider
   * @kernel pci_p2pdma_distance_many
   */
  distanceMany(provider: TopologyFunction, clients: readonly P2pClient[]): number {
    if (clients.length === 0) return -1;
    let total = 0;
    for (const client of clients) {
      if (client === null) return -1;
      const { mapType, distance } = this.#calculate(provider, client);
      if (mapType === P2pMapType.NOT_SUPPORTED) return -1;
      total += distance;
    }
    return total;
  }

  get #slab(): ReturnType<typeof kmemSlab> {
    return kmemSlab(this.#machine, Math.ceil(this.topology.functions.length / ANSWERS_PER_WORD));
  }

  #calculate(provider: TopologyFunction, client: TopologyFunction): { mapType: P2pMapType; distance: number } {
    const result = calcMapTypeAndDistance(this.topology, provider, client, this.#acs);
    const { mem } = this.#machine;
    const { word, shift } = this.#slot(provider, client);
    for (let old = word === 0 ? 0 : atomicLoad(mem, word); word !== 0;) {
      const seen = atomicCas(mem, word, old, (old & ~((2 ** BITS - 1) << shift)) | (result.mapType << shift));
      if (seen === old) break;
      old = seen;
    }
    return result;
  }

  /** Word and shift of the answer for a client; word 0 without a place to remember it. */
  #slot(provider: TopologyFunction, client: TopologyFunction): { word: number; shift: number } {
    const answers = F.p2pAnswers.load(this.#machine.mem, this.#stateOf(provider));
    const p = answers === 0 ? 0 : this.#slab.tryAt(answers);
    const word = p === 0 ? 0 : p + 1 + Math.floor(client.index / ANSWERS_PER_WORD);
    return { word, shift: (client.index % ANSWERS_PER_WORD) * BITS };
  }
}
