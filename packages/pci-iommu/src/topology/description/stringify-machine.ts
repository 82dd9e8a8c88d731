import type { MachineDescription } from './machine-description.ts';

/** Fields written as hex strings, with their least number of digits. */
const HEX_DIGITS: ReadonlyMap<string, number> = new Map([
  ['vendor', 4],
  ['device', 4],
  ['vfDevice', 4],
  ['class', 6],
  ['command', 4],
  ['start', 1],
  ['end', 1],
  ['size', 1],
  ['offset', 1],
  ['pbaOffset', 1],
  ['known', 1],
  ['cap', 2],
  ['ctrl', 2],
  ['acsControlIfAny', 2],
  ['bus', 2],
  ['busEnd', 2],
  ['secondary', 2],
  ['subordinate', 2],
  ['family', 2],
]);

/**
 * A machine description as JSON text that people can read and diff: one line per host bridge and function, ids and
 * addresses as hex strings. `parseMachineDescription(JSON.parse(text))` gives the same description back.
 */
export function stringifyMachine(machine: MachineDescription): string {
  const lines = [
    '{',
    `  "schema": ${JSON.stringify(machine.schema)},`,
    `  "name": ${JSON.stringify(machine.name)},`,
    `  "title": ${JSON.stringify(machine.title)},`,
    `  "cpu": ${oneLine(machine.cpu)},`,
    '  "hostBridges": [',
    machine.hostBridges.map((bridge) => `    ${oneLine(bridge)}`).join(',\n'),
    '  ],',
    '  "functions": [',
    machine.functions.map((fn) => `    ${oneLine(fn)}`).join(',\n'),
    '  ]',
    '}',
  ];
  return `${lines.filter((line) => line !== '').join('\n')}\n`;
}

function oneLine(value: unknown): string {
  return JSON.stringify(value, (key: string, field: unknown) => {
    const digits = HEX_DIGITS.get(key);
    if (digits === undefined || typeof field !== 'number' || field < 0) return field;
    return `0x${field.toString(16).padStart(digits, '0')}`;
  });
}
