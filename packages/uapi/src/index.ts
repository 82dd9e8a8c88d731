export { familyOf, type Scenario, type Step } from './scn/language/scenario.ts';
export { parseScn } from './scn/language/parse-scn.ts';
export { ScnError } from './scn/language/scn-error.ts';
export { compareResults, type Difference } from './scn/results/compare.ts';
export { type ResultValue } from './scn/results/json-text.ts';
export { readResults, type Recording, scenarioOf } from './scn/results/read-results.ts';
export { type Answer, resultLine, type ScenarioResult, type StepResult } from './scn/results/scenario-result.ts';
export { checkScenario, isOutOfScope } from './scn/run/check-scenario.ts';
export { type RunOptions, runScenarios } from './scn/run/run-scenarios.ts';
