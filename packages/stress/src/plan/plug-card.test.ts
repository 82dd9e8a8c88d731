import {
  completeMachine,
  isDecodedMemory,
  MACHINE_SCHEMA,
  type MachineDescription,
  Topology,
} from '@dmabuf-emu/pci-iommu';
import { DEFAULT_SCENARIO, parseImporters, planStress } from '@dmabuf-emu/stress';
import { describe, expect, test } from 'vitest';
import { plugCard } from '#dist/plan/plug-card.js';

/** A machine of which no more is known than one network card. */
function lonely(more: Partial<MachineDescription> = {}): MachineDescription {
  return {
    schema: MACHINE_SCHEMA,
    name: 'lonely',
    title: 'lonely',
    cpu: { vendor: 'Intel', family: 6 },
    hostBridges: [{ domain: 0, bus: 1, busEnd: 1, windows: [] }],
    functions: [
      {
        bdf: '0000:01:00.0',
        vendor: 0x15b3,
        device: 0x1017,
        class: 0x02_0000,
        kind: 'endpoint',
        bars: [],
        acs: null,
        flr: true,
        pm: true,
      },
    ],
    ...more,
  };
}

describe('a card', () => {
  test('gets a root port of its own and, completed, memory', () => {
    const plugged = plugCard(lonely());
    const { description } = completeMachine(plugged.description, plugged.unknowns);
    const topology = new Topology(description);
    const card = topology.functionsOnBus(0, 2);
    expect(card).toHaveLength(5);
    expect(topology.pathToRoot(card[0]!).map(String)).toEqual(['0000:02:00.0', '0000:01:01.0']);
    expect(card.every((fn) => fn.bars.some(isDecodedMemory))).toBe(true);
    expect(plugged.note).toContain('0000:02:00.0');
  });

  test('lets the default load run where there is nothing to share between, and says so', () => {
    const { plan } = planStress(DEFAULT_SCENARIO, { description: lonely() });
    expect(plan.notes[0]).toMatch(/^a card with 5 functions was plugged in at 0000:02:00\.0/);
    const served = plan.engines.filter(({ uses }) => uses.some(({ welcome }) => welcome)).map(({ kind }) => kind);
    expect(new Set(served)).toEqual(new Set(['odp', 'gpu', 'revocable-pinned', 'iommufd']));
  });

  test('is not plugged in for importers that were asked for', () => {
    const asked = { ...DEFAULT_SCENARIO, importers: parseImporters('odp=1') };
    expect(() => planStress(asked, { description: lonely() })).toThrow(/exporters/);
  });

  test('needs a free slot', () => {
    const full = lonely().functions[0]!;
    const functions = Array.from({ length: 32 }, (_, slot) => ({
      ...full,
      bdf: `0000:01:${slot.toString(16).padStart(2, '0')}.0`,
    }));
    expect(() => plugCard(lonely({ functions }))).toThrow(/no free slot/);
  });
});
