import type { FunctionDescription, MachineDescription } from '../description/machine-description.ts';
import type { Unknown } from './machine-reading.ts';

/** What a description itself shows as not known. */
export function unknownsOf(description: MachineDescription): readonly Unknown[] {
  const { cpu } = description;
  const machine: Unknown[] =
    cpu.family === null && (cpu.vendor === 'AMD' || cpu.vendor === 'Hygon' || cpu.vendor === 'unknown')
      ? [{ bdf: null, what: 'cpu', text: `processor family of ${cpu.vendor} is not told; give it with the option cpu` }]
      : [];
  return [...machine, ...description.functions.flatMap((fn) => unknownsOfFunction(fn))];
}

function unknownsOfFunction(fn: FunctionDescription): readonly Unknown[] {
  const { bdf } = fn;
  const unknowns: Unknown[] = [];
  if (fn.vendor === null || fn.device === null) {
    unknowns.push({ bdf, what: 'ids', text: 'vendor and device id are not told; lspci -nn shows them' });
  }
  if (fn.class === null) unknowns.push({ bdf, what: 'class', text: 'class is not told; lspci -nn shows it' });
  if (fn.pcieType === 'unknown' || fn.kind === 'unknown-bridge' || fn.kind === 'unknown-device') {
    unknowns.push({ bdf, what: 'pcie-type', text: 'PCIe port type is not told; lspci -v as root shows it' });
  }
  if (fn.acs === 'unknown') {
    unknowns.push({ bdf, what: 'acs', text: 'ACS registers are not told; lspci -vvv as root shows them' });
  }
  return unknowns;
}
