import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { builtinMachines } from '../../index.ts';
import { randomMachine } from '../test-random-machine.ts';
import { anyMachine } from './test-any-machine.ts';
import { clean, functionsAsRead, rootBuses, usedRootBuses, writeAndRead } from './test-round-trip.ts';

describe.each([
  ['words', false],
  ['words and bytes', true],
])('a machine written as %s is read back, but for what is listed', (_form, hex) => {
  test.each(builtinMachines().map((machine) => [machine.name, machine] as const))('%s', (_name, machine) => {
    const { reading } = writeAndRead(machine, hex);
    expect(reading.description.functions.map((fn) => clean(fn))).toEqual(functionsAsRead(machine, hex));
    expect(rootBuses(reading.description)).toEqual(usedRootBuses(machine));
    expect(reading.warnings).toEqual([]);
  });

  test('random machines', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        const { reading } = writeAndRead(machine, hex);
        expect(reading.description.functions.map((fn) => clean(fn))).toEqual(functionsAsRead(machine, hex));
        expect(rootBuses(reading.description)).toEqual(usedRootBuses(machine));
      }),
      { numRuns: propertyRuns(10) },
    );
  });

  test('functions with any facts', () => {
    fc.assert(
      fc.property(anyMachine, (machine) => {
        const { reading } = writeAndRead(machine, hex);
        expect(reading.description.functions.map((fn) => clean(fn))).toEqual(functionsAsRead(machine, hex));
      }),
      { numRuns: propertyRuns(80) },
    );
  });
});
