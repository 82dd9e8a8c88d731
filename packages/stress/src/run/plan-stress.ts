import {
  builtinMachine,
  completeMachine,
  PAGE_SIZE,
  Topology,
  TopologyError,
  type MachineDescription,
  type UnknownFact,
} from '@dmabuf-emu/pci-iommu';
import { directFunctions } from '../plan/live-p2pdma.ts';
import { makePlan } from '../plan/make-plan.ts';
import { plugCard } from '../plan/plug-card.ts';
import type { RunPlan } from '../plan/run-plan.ts';
import { isDefaultLoad } from '../scenario/default-scenario.ts';
import { InputError } from '../scenario/problem.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** A machine to run on, and what is not known of it. */
export interface StressMachine {
  readonly description: MachineDescription;
  /** Facts that the source of the description did not tell; what a run needs of them is assumed. */
  readonly unknowns?: readonly UnknownFact[];
}

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
 *
 * What is not known of the machine and needed is assumed. When the machine has too little for the default load, a card is
 * plugged in. The plan's notes say both.
 * @throws InputError when the machine is unknown, contradicts itself or is too small.
 */
export function planStress(scenario: Scenario, machine?: StressMachine): PlannedStress {
  try {
    return planOn(scenario, machine ?? { description: builtinMachine(scenario.machine) });
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error;
    throw new InputError('machine', [{ where: '', text: error.message }], { cause: error });
  }
}

function planOn(scenario: Scenario, machine: StressMachine): PlannedStress {
  try {
    return complete(scenario, machine, []);
  } catch (error) {
    if (!(error instanceof InputError) || !isDefaultLoad(scenario)) throw error;
    const { description, unknowns, note } = plugCard(machine.description);
    return complete(scenario, { description, unknowns: [...(machine.unknowns ?? []), ...unknowns] }, [note]);
  }
}

function complete(scenario: Scenario, machine: StressMachine, notes: readonly string[]): PlannedStress {
  const { unknowns = [] } = machine;
  const { description, assumptions } = completeMachine(machine.description, unknowns);
  const topology = new Topology(description);
  const plan = makePlan(topology, scenario);
  const pages = plan.buffers.reduce((sum, buffer) => sum + buffer.pages + 1, 0);
  // Only what is touched costs anything; buffers that are lost with a killed thread are replaced by others.
  const spare = scenario.faults.kill > 0 ? 1024 * MIB : 16 * MIB;
  return {
    description,
    plan: { ...plan, notes: [...notes, ...assumptions, ...plan.notes] },
    disableAcsRedir: directFunctions(topology, scenario.acs),
    memoryBytes: spare + Math.ceil((pages * PAGE_SIZE) / MIB) * MIB,
  };
}
