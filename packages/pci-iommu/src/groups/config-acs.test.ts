import { describe, expect, test } from 'vitest';
import { Topology, TopologyError } from '../topology/index.ts';
import { NODE, twoRootMachine } from '../topology/test-machine.ts';
import { parseConfigAcs, parseDevicePattern } from './index.ts';

const topology = new Topology(twoRootMachine());
const matching = (text: string): string[] =>
  topology.functions.filter((fn) => parseDevicePattern(text)(topology, fn)).map(({ bdf }) => bdf);

describe('how parameters name functions', () => {
  test.each([
    ['0000:02:00.0', [NODE.D0]],
    ['2:0.0', [NODE.D0]],
    ['0:02:01.0', [NODE.D1]],
    ['00:01.0/00.0/1.0/0.0', [NODE.B]],
    ['01:00.0', [NODE.U0]],
    ['00:01.0/01.0', []],
    ['pci:8086:1234', ['0000:00:00.0', '0000:80:00.0']],
    ['pci:8086:0', ['0000:00:00.0', '0000:80:00.0']],
    ['pci:8086:1234:0:0', ['0000:00:00.0', '0000:80:00.0']],
  ])('%s', (text, expected) => {
    expect(matching(text)).toEqual(expected);
  });

  test('0 stands for any id', () => {
    expect(matching('pci:0:0')).toHaveLength(topology.functions.length);
  });

  test.each(['', 'x', '02:00', 'pci:8086', 'pci:8086:1234:5', 'pci:1:2:3:4', '02:00.0/x', '02:00.0,02:01.0'])(
    '%j is refused',
    (text) => {
      expect(() => parseDevicePattern(text)).toThrow(TopologyError);
    },
  );

  test('the message names the forms', () => {
    expect(() => parseDevicePattern('02:00.0,02:01.0')).toThrow(
      'expected a function such as 0000:0b:00.0, a path such as 00:01.0/00.0, or pci:10b5:8749, got "02:00.0,02:01.0"; separate several with ";"',
    );
  });
});

describe('config_acs', () => {
  test.each([
    ['10x@pci:0:0', [{ mask: 0x06, flags: 0x04 }]],
    ['1111111@2:0.0', [{ mask: 0x7f, flags: 0x7f }]],
    [
      'X@2:0.0;0@2:1.0',
      [
        { mask: 0, flags: 0 },
        { mask: 1, flags: 0 },
      ],
    ],
    ['', []],
  ])('%s', (text, expected) => {
    expect(parseConfigAcs(text).map(({ mask, flags }) => ({ mask, flags }))).toEqual(expected);
  });

  test.each([
    ['2:0.0', 'config_acs: expected FLAGS@DEVICE with flags of 0, 1 and x, such as 10x@0000:0b:00.0, got "2:0.0"'],
    ['12@2:0.0', 'got "12@2:0.0"'],
    ['10000000@2:0.0', 'config_acs: ACS has 7 bits, got 8 in "10000000@2:0.0"'],
    ['1@zz', 'expected a function'],
  ])('%s is refused', (text, message) => {
    expect(() => parseConfigAcs(text)).toThrow(message);
  });
});
