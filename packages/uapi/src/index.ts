/** Structs and command numbers of the user API. */
export * as abi from './abi/index.ts';
export { ALL_QUIRKS, quirksBetween } from './all-quirks.ts';
export { type FileStat } from './files/file-behaviour.ts';
export { installUapi } from './install.ts';
export { AddressSpace } from './process/address-space.ts';
export { MemorySignal, ProcessKilled } from './process/memory-signal.ts';
export { Process, type ProcessHandle } from './process/process.ts';
export { MapFlags, Prot } from './process/protection.ts';
export { type UserArea } from './process/user-area.ts';
export { UserMemory } from './process/user-memory.ts';
export { UserStack } from './process/user-stack.ts';
export { UAPI_QUIRKS } from './quirks.ts';
export { parseScn } from './scn/language/parse-scn.ts';
export { familyOf, type Scenario, type Step } from './scn/language/scenario.ts';
export { ScnError } from './scn/language/scn-error.ts';
export { formatCounts, formatDifference, type ReportStyle } from './scn/replay/format-report.ts';
export { profileOf } from './scn/replay/profile-of.ts';
export { replay } from './scn/replay/replay.ts';
export { type ReplayReport, type ReportedDifference } from './scn/replay/report.ts';
export { compareResults, type Difference } from './scn/results/compare.ts';
export { type ResultValue, writeJson } from './scn/results/json-text.ts';
export { readResults, type Recording, scenarioOf } from './scn/results/read-results.ts';
export { type Answer, resultLine, type ScenarioResult, type StepResult } from './scn/results/scenario-result.ts';
export { checkScenario, isOutOfScope } from './scn/run/check-scenario.ts';
export { type KernelChoice } from './scn/run/computer.ts';
export { type RunOptions, runScenarios } from './scn/run/run-scenarios.ts';
/** System calls. */
export * as sys from './syscalls/index.ts';
