import type { MachineDescription } from '../description/machine-description.ts';
import { TopologyError } from '../topology-error.ts';
import { aurora8ve } from './aurora-8ve.ts';
import { genoa4gpu } from './genoa-4gpu.ts';
import { microtca2switch } from './microtca-2switch.ts';
import { wrx802gpu } from './wrx80-2gpu.ts';

const MACHINES: readonly MachineDescription[] = [genoa4gpu, wrx802gpu, aurora8ve, microtca2switch];

/**
 * The machines that come with the package, derived from listings of real ones: a GPU and RDMA server, a workstation,
 * an accelerator server with PCIe switches, and a small machine with cascaded switches.
 */
export function builtinMachines(): readonly MachineDescription[] {
  return MACHINES;
}

/**
 * A machine that comes with the package.
 *
 * @param name - one of `builtinMachines().map((machine) => machine.name)`
 * @throws TopologyError when there is none of that name; the message lists them
 */
export function builtinMachine(name: string): MachineDescription {
  const found = MACHINES.find((machine) => machine.name === name);
  if (found === undefined) {
    const names = MACHINES.map((machine) => machine.name).join(', ');
    throw new TopologyError(`no built-in machine ${JSON.stringify(name)}; there are ${names}`);
  }
  return found;
}
