/** A TypeScript module that exports the description as a constant, one function a line. */
export function toTypeScript(machine, json) {
  const literal = json
    .trimEnd()
    .replaceAll(/"(0x[0-9a-f]+)"/gu, '$1')
    .replaceAll(/"([A-Za-z]\w*)": ?/gu, '$1: ')
    .replaceAll(/,(?=[[{"\w])/gu, ', ')
    .replaceAll('"', "'");
  return [
    '// Made by tools/machines/convert.mjs.',
    "import type { MachineDescription } from '../description/machine-description.ts';",
    '',
    `/** ${machine.title}. */`,
    '// prettier-ignore',
    `export const ${constantName(machine.name)}: MachineDescription = ${literal.replaceAll(/ +$/gmu, '')};`,
    '',
  ].join('\n');
}

function constantName(name) {
  return name.replaceAll(/-(\w)/gu, (_, letter) => letter.toUpperCase());
}
