import { builtinMachine, type MachineDescription } from '@dmabuf-emu/pci-iommu';

/** Text that ends elements and attributes, steers terminals and turns lines around. */
export const HOSTILE = `"><script>alert(1)</script></style>'\u001b[2J\u0007\u202e--><!--]]>&amp;`;

/** A machine whose every free text is hostile. */
export function hostileMachine(): MachineDescription {
  const machine = builtinMachine('aurora-8ve');
  return {
    ...machine,
    name: HOSTILE,
    title: HOSTILE,
    cpu: { vendor: HOSTILE, family: null },
    functions: machine.functions.map((fn, i) => ({ ...fn, name: `${HOSTILE}${i}` })),
  };
}
