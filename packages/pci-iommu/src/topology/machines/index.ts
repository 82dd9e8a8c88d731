export { builtinMachine, builtinMachines } from './builtin-machines.ts';
