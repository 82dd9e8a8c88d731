import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseMachineDescription, Topology, TopologyError } from '../index.ts';
import { twoRootMachine } from '../test-machine.ts';

/** The error that the call throws, or `null`. */
function errorOf(call: () => unknown): unknown {
  try {
    call();
    return null;
  } catch (error) {
    return error;
  }
}

/** Puts a value in place of one somewhere in a JSON document. */
function damage(document: unknown, path: readonly number[], value: unknown): unknown {
  if (path.length === 0 || typeof document !== 'object' || document === null) return value;
  const entries = Object.entries(document);
  const at = (path[0] ?? 0) % Math.max(1, entries.length);
  const changed = entries.map(([key, field], index): [string, unknown] => [
    key,
    index === at ? damage(field, path.slice(1), value) : field,
  ]);
  return Array.isArray(document) ? changed.map(([, field]) => field) : Object.fromEntries(changed);
}

describe('whatever the description', () => {
  test('any value is taken or refused with a message', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(errorOf(() => parseMachineDescription(value))).toBeInstanceOf(TopologyError);
      }),
    );
  });

  test('a damaged good one is taken or refused, and what is taken is a topology', () => {
    const good: unknown = JSON.parse(JSON.stringify(twoRootMachine()));
    const value = fc.oneof(
      fc.jsonValue(),
      fc.integer({ min: -1, max: 300 }),
      fc.constantFrom('0000:03:00.0', '0x10', 'vf'),
    );
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 4 }), value, (path, other) => {
        const damaged = damage(good, path, other);
        const error = errorOf(() => new Topology(parseMachineDescription(damaged)));
        expect(error === null || error instanceof TopologyError).toBe(true);
      }),
      { numRuns: propertyRuns(1000) },
    );
  });
});
