import { type AcsSetup, builtinMachine, type MachineDescription, readMachine } from '@dmabuf-emu/pci-iommu';
import { chooseDevices } from '#dist/topo/choose-devices.js';
import { MachineView, P2pTable } from '#dist/topo/machine-view.js';

/** A built-in machine, or any other, as the command shows it. */
export function viewOf(machine: string | MachineDescription, setup: AcsSetup = { iommu: false }): MachineView {
  const description = typeof machine === 'string' ? builtinMachine(machine) : machine;
  return new MachineView(readMachine(JSON.stringify(description)), setup);
}

/** The answers between the devices of a list; those that people look for without one. */
export function tableOf(view: MachineView, list?: string): P2pTable {
  return new P2pTable(view, chooseDevices(view.topology, list));
}
