import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const load = async (file: string): Promise<Record<string, readonly Mutant[]>> =>
  (await import(new URL(file, import.meta.url).href)) as Record<string, readonly Mutant[]>;
const mutants = [
  ...(await load('mutants.mjs'))['MUTANTS']!,
  ...(await load('core-mutants.mjs'))['CORE_MUTANTS']!,
  ...(await load('pci-mutants.mjs'))['PCI_MUTANTS']!,
];

describe('mutants', () => {
  test('have names of their own', () => {
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
  });

  test.each(mutants.map((mutant) => [mutant.name, mutant] as const))('%s changes one place', (_, mutant) => {
    expect(readFileSync(`${root}${mutant.file}`, 'utf8').split(mutant.find)).toHaveLength(2);
    expect(mutant.replace).not.toBe(mutant.find);
  });
});
