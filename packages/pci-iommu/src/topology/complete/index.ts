export { completeMachine, type CompletedMachine, type UnknownFact } from './complete-machine.ts';
