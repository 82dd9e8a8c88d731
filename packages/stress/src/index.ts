export { runStress } from './run/stress-run.ts';
export { planStress, type PlannedStress, type StressMachine } from './run/plan-stress.ts';
export { type StressOptions, type StressProgress } from './run/stress-options.ts';
export { HANG_MS } from './run/watchdog.ts';
export {
  ACS_MODES,
  engineKinds,
  EXPORTER_KINDS,
  FAULT_KINDS,
  IMPORTER_KINDS,
  ROGUE_KINDS,
  SCENARIO_SCHEMA,
  type AcsMode,
  type ExporterKind,
  type ExporterPlan,
  type FaultKind,
  type FaultRates,
  type ImporterCount,
  type ImporterKind,
  type RogueKind,
  type Scenario,
} from './scenario/scenario.ts';
export { DEFAULT_FAULTS, DEFAULT_SCENARIO, defaultExporter } from './scenario/default-scenario.ts';
export { parseScenario, readScenarioFile } from './scenario/read-scenario.ts';
export { InputError, type Problem } from './scenario/problem.ts';
export {
  MAX_ENGINES,
  parseDuration,
  parseExporters,
  parseFaults,
  parseImporters,
  parseName,
  parseWhole,
  ValueError,
} from './scenario/parse-values.ts';
export { type BufferPlan, type ControllerPlan, type EnginePlan, type RunPlan, type UsePlan } from './plan/run-plan.ts';
export { reproLine, type ReproBase } from './result/repro.ts';
export { formatSummary, PLAIN, type Style } from './result/summary.ts';
export { formatBytes, formatCount, formatDuration, formatNs } from './result/quantities.ts';
export {
  EXIT_BAD_INPUT,
  EXIT_CLEAN,
  EXIT_HANG,
  EXIT_VIOLATION,
  RESULT_SCHEMA,
  type CasualtyResult,
  type ExitCode,
  type ExporterResult,
  type HangResult,
  type ImporterResult,
  type LatencyResult,
  type RefusalResult,
  type StressResult,
  type ViolationResult,
} from './result/stress-result.ts';
