import fc from 'fast-check';
import type { AcsKnowledge, BarDescription, FunctionDescription, FunctionKind, MachineDescription } from './index.ts';
import { AMD_ZEN, INTEL, testHostBridge, testMachine } from './test-machine.ts';

/** A bridge or endpoint before it has bus numbers. */
interface Plan {
  readonly bridge: boolean;
  readonly acs: AcsKnowledge;
  readonly flags: number;
  readonly barSizes: readonly number[];
  readonly children: readonly Plan[];
}

const MAX_CHILDREN = 4;
const MAX_DEPTH = 4;

const acs: fc.Arbitrary<AcsKnowledge> = fc.oneof(
  { weight: 4, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constant('unknown' as const) },
  { weight: 2, arbitrary: fc.record({ cap: fc.nat(0x7f), ctrl: fc.nat(0x7f) }) },
);

function plan(depth: number): fc.Arbitrary<Plan> {
  const leaf = fc.record({
    bridge: fc.constant(false),
    acs,
    flags: fc.nat(0xff),
    barSizes: fc.array(fc.integer({ min: 12, max: 32 }), { maxLength: 3 }),
    children: fc.constant<readonly Plan[]>([]),
  });
  if (depth === 0) return leaf;
  const bridge = fc.record({
    bridge: fc.constant(true),
    acs,
    flags: fc.nat(0xff),
    barSizes: fc.constant<readonly number[]>([]),
    children: fc.array(plan(depth - 1), { maxLength: MAX_CHILDREN }),
  });
  return fc.oneof(leaf, bridge);
}

const ENDPOINTS: readonly FunctionKind[] = ['endpoint', 'legacy-endpoint', 'rciep', 'pci-device', 'unknown-device'];

/** Numbers buses depth first and hands out BAR addresses. */
class Layout {
  readonly functions: FunctionDescription[] = [];
  #nextBus: number;
  #nextAddress: number;

  constructor(firstBus: number, firstAddress: number) {
    this.#nextBus = firstBus;
    this.#nextAddress = firstAddress;
  }

  place(domain: number, bus: number, plans: readonly Plan[], depth: number): void {
    plans.forEach((item, slot) => {
      const bdf = `${domain.toString(16).padStart(4, '0')}:${bus.toString(16).padStart(2, '0')}:${slot.toString(16).padStart(2, '0')}.0`;
      const base = {
        bdf,
        vendor: 0x1af4,
        device: item.flags,
        class: item.bridge ? 0x060400 : 0x020000,
        acs: item.acs,
        flr: (item.flags & 1) !== 0,
        pm: (item.flags & 2) !== 0,
      };
      if (!item.bridge) {
        const kind = ENDPOINTS[item.flags % ENDPOINTS.length] ?? 'endpoint';
        this.functions.push({ ...base, kind, bars: this.#bars(item.barSizes) });
        return;
      }
      const secondary = this.#nextBus++;
      const at = this.functions.length;
      this.place(domain, secondary, item.children, depth + 1);
      const kind = depth === 0 ? 'root-port' : depth % 2 === 1 ? 'upstream-port' : 'downstream-port';
      this.functions.splice(at, 0, { ...base, kind, secondary, subordinate: this.#nextBus - 1, bars: [] });
    });
  }

  #bars(sizes: readonly number[]): readonly BarDescription[] {
    return sizes.map((bits, order) => {
      const size = 2 ** bits;
      const start = Math.ceil(this.#nextAddress / size) * size;
      this.#nextAddress = start + size;
      return { index: order * 2, start, size, kind: 'mem64', prefetchable: (bits & 1) === 0 };
    });
  }
}

/** Machines of up to two root complexes in one or two domains, with random trees, BARs and ACS. */
export const randomMachine: fc.Arbitrary<MachineDescription> = fc
  .record({
    roots: fc.array(fc.array(plan(MAX_DEPTH), { minLength: 1, maxLength: MAX_CHILDREN }), {
      minLength: 1,
      maxLength: 2,
    }),
    twoDomains: fc.boolean(),
    amd: fc.boolean(),
  })
  .filter(({ roots }) => roots.every((root) => countBridges(root) < 100))
  .map(({ roots, twoDomains, amd }) => {
    const functions: FunctionDescription[] = [];
    const hostBridges = roots.map((root, order) => {
      const domain = twoDomains ? order : 0;
      const bus = order * 0x80;
      const layout = new Layout(bus + 1, (order + 1) * 2 ** 44);
      layout.place(domain, bus, root, 0);
      functions.push(...layout.functions);
      return testHostBridge(bus, { domain, busEnd: bus + 0x7f });
    });
    return testMachine(functions, { hostBridges, cpu: amd ? AMD_ZEN : INTEL });
  });

function countBridges(plans: readonly Plan[]): number {
  return plans.reduce((sum, item) => sum + (item.bridge ? 1 : 0) + countBridges(item.children), 0);
}
