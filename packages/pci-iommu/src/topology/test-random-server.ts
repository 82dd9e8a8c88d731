import fc from 'fast-check';
import type {
  AcsKnowledge,
  BarDescription,
  BridgeWindowDescription,
  FunctionDescription,
  FunctionKind,
  MachineDescription,
} from './index.ts';
import { AMD_ZEN, INTEL, testHostBridge, testMachine } from './test-machine.ts';

/** A device, switch or bridge before it has numbers and addresses. */
type Plan =
  | { readonly type: 'device'; readonly functions: readonly FunctionPlan[]; readonly virtual: number }
  | {
      readonly type: 'switch';
      readonly port: PortPlan;
      readonly ports: readonly PortPlan[];
      readonly engine: FunctionPlan | null;
    }
  | { readonly type: 'bus'; readonly bridge: 'pcie-to-pci-bridge' | 'pci-bridge'; readonly items: readonly Plan[] }
  | { readonly type: 'empty' };

interface FunctionPlan {
  readonly acs: AcsKnowledge;
  readonly bars: readonly number[];
}

interface PortPlan extends FunctionPlan {
  readonly below: Plan;
}

interface RootPlan {
  readonly ports: readonly PortPlan[];
  readonly integrated: readonly FunctionPlan[];
  readonly offset: number;
}

const MIB = 2 ** 20;
const VF_DEVFN = 0x10;
const LAST_BUS_OF_ROOT = 0x3f;

const acs: fc.Arbitrary<AcsKnowledge> = fc.oneof(
  { weight: 2, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constant({ cap: 0x5f, ctrl: 0 }) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.nat(0x7f), fc.nat(0x7f)).map(([cap, ctrl]) => ({ cap, ctrl: cap & ctrl })),
  },
);
const fn: fc.Arbitrary<FunctionPlan> = fc.record({
  acs,
  bars: fc.array(fc.integer({ min: 12, max: 24 }), { maxLength: 2 }),
});

function plan(depth: number): fc.Arbitrary<Plan> {
  const device: fc.Arbitrary<Plan> = fc.record({
    type: fc.constant('device' as const),
    functions: fc.array(fn, { minLength: 1, maxLength: 3 }),
    virtual: fc.nat(2),
  });
  if (depth === 0) return device;
  const below: fc.Arbitrary<Plan> = fc.oneof(
    { weight: 3, arbitrary: plan(depth - 1) },
    { weight: 1, arbitrary: fc.constant({ type: 'empty' as const }) },
  );
  const port = fc.tuple(fn, below).map(([own, item]) => ({ ...own, below: item }));
  return fc.oneof(
    { weight: 3, arbitrary: device },
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('switch' as const),
        port,
        ports: fc.array(port, { minLength: 1, maxLength: 3 }),
        engine: fc.option(fn, { freq: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('bus' as const),
        bridge: fc.constantFrom('pcie-to-pci-bridge' as const, 'pci-bridge' as const),
        items: fc.array(plan(0), { minLength: 1, maxLength: 3 }),
      }),
    },
  );
}

const root: fc.Arbitrary<RootPlan> = fc.record({
  ports: fc.array(
    fc.tuple(fn, plan(2)).map(([own, below]) => ({ ...own, below })),
    { minLength: 1, maxLength: 3 },
  ),
  integrated: fc.array(fn, { maxLength: 2 }),
  offset: fc.constantFrom(0, 0, -(2 ** 43), 2 ** 46),
});

/**
 * Machines of one to three root complexes with everything that packets can meet: switches in switches, with engines beside their
 * upstream ports; devices of several functions, some with virtual ones, endpoints with ACS; bridges to conventional buses;
 * integrated endpoints; bus addresses that are not physical ones; bridges with and without known windows.
 */
export const randomServer: fc.Arbitrary<MachineDescription> = fc
  .record({
    roots: fc.array(root, { minLength: 1, maxLength: 3 }),
    twoDomains: fc.boolean(),
    amd: fc.boolean(),
    windows: fc.constantFrom(true, true, false),
  })
  .map(({ roots, twoDomains, amd, windows }) => {
    const functions: FunctionDescription[] = [];
    const hostBridges = roots.map((one, order) => {
      const domain = twoDomains ? order % 2 : 0;
      const bus = order * (LAST_BUS_OF_ROOT + 1);
      const layout = new Layout(domain, bus, (order + 1) * 2 ** 44, windows);
      const end = layout.placeRoot(one);
      functions.push(...layout.functions);
      const start = (order + 1) * 2 ** 44;
      const window = { start, end: Math.max(end, start + MIB) - 1, busOffset: one.offset };
      return testHostBridge(bus, { domain, busEnd: bus + LAST_BUS_OF_ROOT, windows: [window] });
    });
    return testMachine(functions, { hostBridges, cpu: amd ? AMD_ZEN : INTEL });
  });

/** Numbers buses depth first and hands out addresses so that everything behind a bridge is in one window. */
class Layout {
  readonly functions: FunctionDescription[] = [];
  readonly #domain: number;
  readonly #rootBus: number;
  readonly #windows: boolean;
  #nextBus: number;
  #next: number;

  constructor(domain: number, rootBus: number, address: number, windows: boolean) {
    this.#domain = domain;
    this.#rootBus = rootBus;
    this.#nextBus = rootBus + 1;
    this.#next = address;
    this.#windows = windows;
  }

  /** Returns the first address behind everything. */
  placeRoot({ ports, integrated }: RootPlan): number {
    let slot = 1;
    for (const own of integrated) this.#add('rciep', this.#rootBus, slot++ << 3, own);
    for (const port of ports)
      this.#bridge('root-port', this.#rootBus, slot++ << 3, port, (bus) => this.#place(port.below, bus, 0));
    return this.#align(MIB);
  }

  #place(item: Plan, bus: number, slot: number): void {
    switch (item.type) {
      case 'empty':
        return;
      case 'device':
        return this.#device(item.functions, item.virtual, bus, slot);
      case 'switch':
        this.#bridge('upstream-port', bus, slot << 3, item.port, (inside) =>
          item.ports.forEach((port, i) =>
            this.#bridge('downstream-port', inside, i << 3, port, (below) => this.#place(port.below, below, 0)),
          ),
        );
        if (item.engine !== null) this.#add('endpoint', bus, (slot << 3) | 1, item.engine);
        return;
      case 'bus':
        this.#bridge(item.bridge, bus, slot << 3, { acs: null, bars: [] }, (inside) =>
          item.items.forEach((below, i) => this.#conventional(below, inside, i)),
        );
    }
  }

  #device(functions: readonly FunctionPlan[], virtual: number, bus: number, slot: number): void {
    functions.forEach((own, func) => {
      const count = func === 0 && slot === 0 && own.bars.length > 0 ? virtual : 0;
      const sriov = { totalVfs: count, numVfs: count, vfOffset: VF_DEVFN, vfStride: 1, vfDevice: 0x1001 };
      const physfn = this.#add('endpoint', bus, (slot << 3) | func, own, count === 0 ? {} : { sriov });
      for (let i = 0; i < count; i++) this.#add('vf', bus, VF_DEVFN + i, own, { physfn });
    });
  }

  #conventional(item: Plan, bus: number, slot: number): void {
    if (item.type !== 'device') return;
    item.functions.forEach((own, func) => this.#add('pci-device', bus, (slot << 3) | func, { ...own, acs: null }));
  }

  #bridge(kind: FunctionKind, bus: number, devfn: number, own: FunctionPlan, below: (secondary: number) => void): void {
    const secondary = this.#nextBus++;
    const at = this.functions.length;
    const bars = this.#bars(own.bars.slice(0, 1));
    const start = this.#align(MIB);
    below(secondary);
    const end = this.#align(MIB) - 1;
    const windows: BridgeWindowDescription[] = end > start ? [{ kind: 'prefetch', start, end }] : [];
    this.functions.splice(at, 0, {
      ...this.#base(kind, bus, devfn, own),
      class: 0x060400,
      secondary,
      subordinate: this.#nextBus - 1,
      bars,
      ...(this.#windows && windows.length > 0 ? { windows } : {}),
    });
  }

  #add(
    kind: FunctionKind,
    bus: number,
    devfn: number,
    own: FunctionPlan,
    more: Partial<FunctionDescription> = {},
  ): string {
    const description = { ...this.#base(kind, bus, devfn, own), bars: this.#bars(own.bars), ...more };
    this.functions.push(description);
    return description.bdf;
  }

  #base(kind: FunctionKind, bus: number, devfn: number, { acs: own }: FunctionPlan): Omit<FunctionDescription, 'bars'> {
    const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
    const bdf = `${hex(this.#domain, 4)}:${hex(bus, 2)}:${hex(devfn >> 3, 2)}.${devfn & 7}`;
    return { bdf, vendor: 0x1af4, device: 0x1000, class: 0x020000, kind, acs: own, flr: true, pm: true };
  }

  #bars(sizes: readonly number[]): readonly BarDescription[] {
    return sizes.map((bits, order) => {
      const size = 2 ** bits;
      const start = this.#align(size);
      this.#next = start + size;
      return { index: order * 2, start, size, kind: 'mem64', prefetchable: true };
    });
  }

  #align(bytes: number): number {
    this.#next = Math.ceil(this.#next / bytes) * bytes;
    return this.#next;
  }
}
