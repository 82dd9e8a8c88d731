// Runs one case in this fresh process:  node child.mjs MODULE FUNCTION ARGUMENTS_AS_JSON
// Prints the numbers it returns as one line of JSON. Anything the case leaves running ends with the process.
import { writeSync } from 'node:fs';
import { NOT_WIRED_EXIT } from './not-wired.mjs';

const [moduleName, functionName, argumentsJson = '{}'] = process.argv.slice(2);
let exitCode = 0;
try {
  const module = await import(new URL(`../${moduleName}`, import.meta.url).href);
  const numbers = await module[functionName](JSON.parse(argumentsJson));
  writeSync(1, `${JSON.stringify(numbers)}\n`);
} catch (error) {
  exitCode = error?.name === 'NotWired' ? NOT_WIRED_EXIT : 1;
  writeSync(2, `${exitCode === 1 ? (error?.stack ?? error) : error.message}\n`);
}
process.exit(exitCode);
