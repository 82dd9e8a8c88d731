import { describe, expect, test } from 'vitest';
import { readMachine } from '../../index.ts';
import { readRealDumpBytes, realDumpNames, realDumps, realDumpsState } from '../test-real-dumps.ts';
import { clean, functionsAsRead, writeAndRead } from './test-round-trip.ts';

test(`real machines ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

const NO_MACHINE = /p2p-verdict/u;

describe.skipIf(realDumps === null)('real machines, written and read again', () => {
  describe.each([
    ['words', false],
    ['words and bytes', true],
  ])('%s', (_form, hex) => {
    test.each(realDumpNames(/./u).filter((name) => !NO_MACHINE.test(name)))('%s', (name) => {
      const { description } = readMachine(readRealDumpBytes(name), { lenient: true });
      const { reading } = writeAndRead(description, hex);
      expect(reading.description.functions.map((fn) => clean(fn))).toEqual(functionsAsRead(description, hex));
    });
  });
});
