import { builtinMachine, PAGE_SIZE, Topology, TopologyError, type MachineDescription } from '@dmabuf-emu/pci-iommu';
import { directFunctions } from '../plan/live-p2pdma.ts';
import { makePlan } from '../plan/make-plan.ts';
import type { RunPlan } from '../plan/run-plan.ts';
import { InputError } from '../scenario/problem.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** A scenario on a machine, ready to run. */
export interface PlannedStress {
  readonly description: MachineDescription;
  readonly plan: RunPlan;
  /** Functions that let requests to peers pass. */
  readonly disableAcsRedir: readonly string[];
  /** Bytes of physical memory that the run may touch. */
  readonly memoryBytes: number;
}

const MIB = 1 << 20;

/**
 * Checks that a machine has what a scenario asks for, and decides who runs where. Creates nothing.
 * @throws InputError when the machine is unknown, contradicts itself or is too small.
 */
export function planStress(scenario: Scenario, machine?: MachineDescription): PlannedStress {
  try {
    const description = machine ?? builtinMachine(scenario.machine);
    const topology = new Topology(description);
    const plan = makePlan(topology, scenario);
    const pages = plan.buffers.reduce((sum, buffer) => sum + buffer.pages + 1, 0);
    // Only what is touched costs anything; buffers that are lost with a killed thread are replaced by others.
    const spare = scenario.faults.kill > 0 ? 1024 * MIB : 16 * MIB;
    const memoryBytes = spare + Math.ceil((pages * PAGE_SIZE) / MIB) * MIB;
    return { description, plan, disableAcsRedir: directFunctions(topology, scenario.acs), memoryBytes };
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error;
    throw new InputError('machine', [{ where: '', text: error.message }], { cause: error });
  }
}
