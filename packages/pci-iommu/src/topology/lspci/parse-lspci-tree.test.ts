import { describe, expect, test } from 'vitest';
import { parseLspciTree } from './parse-lspci-tree.ts';

const DRAWING = `-+-[0000:00]-+-00.0  Example Corp Root
 |           +-01.1-[01]--+-00.0  Example Corp GPU
 |           |            \\-00.1  Example Corp Audio [HD]
 |           \\-02.0  Intel Corporation Device 09a2
 \\-[0001:60]-+-01.1-[61-64]----00.0-[62-64]--+-00.0-[63]--
             |                               \\-04.0-[64]----00.0  Example Corp SSD [abcd:1234]
             \\-07.0
`;

describe('lspci -t', () => {
  test('functions, bus numbers and names come from the drawing', () => {
    const functions = parseLspciTree(DRAWING);
    expect(functions.map((fn) => [fn.bdf, fn.bus?.secondary, fn.bus?.subordinate, fn.deviceName])).toEqual([
      ['0000:00:00.0', undefined, undefined, 'Example Corp Root'],
      ['0000:00:01.1', 1, 1, ''],
      ['0000:01:00.0', undefined, undefined, 'Example Corp GPU'],
      ['0000:01:00.1', undefined, undefined, 'Example Corp Audio [HD]'],
      ['0000:00:02.0', undefined, undefined, 'Intel Corporation Device 09a2'],
      ['0001:60:01.1', 0x61, 0x64, ''],
      ['0001:61:00.0', 0x62, 0x64, ''],
      ['0001:62:00.0', 0x63, 0x63, ''],
      ['0001:62:04.0', 0x64, 0x64, ''],
      ['0001:64:00.0', undefined, undefined, 'Example Corp SSD'],
      ['0001:60:07.0', undefined, undefined, ''],
    ]);
  });

  test('ids come from brackets, from unnamed devices and from vendor names', () => {
    const functions = parseLspciTree(DRAWING);
    expect(functions.find((fn) => fn.bdf === '0001:64:00.0')).toMatchObject({ vendor: 0xabcd, device: 0x1234 });
    expect(functions.find((fn) => fn.bdf === '0000:00:02.0')).toMatchObject({ vendor: 0x8086, device: 0x09a2 });
  });

  test('a single root starts with a dash', () => {
    expect(parseLspciTree('-[0000:00]-+-00.0  A\n           \\-02.0  B\n').map((fn) => fn.bdf)).toEqual([
      '0000:00:00.0',
      '0000:00:02.0',
    ]);
  });

  test('text without a drawing is refused', () => {
    expect(() => parseLspciTree('nothing here\n')).toThrow(/line 1: expected a drawing of lspci -t/u);
  });

  test('a branch that hangs in the air is refused with its line', () => {
    expect(() => parseLspciTree('-[0000:00]-+-00.0  A\n   +-02.0  B\n')).toThrow(
      /line 2: expected 02.0 below a bus such as \[0000:00\]/u,
    );
  });

  test('a drawing that a mail moved, marked and wrapped', () => {
    const functions = parseLspciTree(`>     +-[0000:e2]-+-00.0  Intel Corporation Device 09a2
>      |           +-00.1  Intel Corporation Device 09a4
>      |          * \\-02.0-[e3-e5]*----00.0-[e4-e5]----00.0-[e5]----00.0
>      Advanced Micro Devices, Inc. [AMD/ATI]
`);
    expect(functions.map((fn) => [fn.bdf, fn.vendor, fn.bus?.subordinate])).toEqual([
      ['0000:e2:00.0', 0x8086, undefined],
      ['0000:e2:00.1', 0x8086, undefined],
      ['0000:e2:02.0', null, 0xe5],
      ['0000:e3:00.0', null, 0xe5],
      ['0000:e4:00.0', null, 0xe5],
      ['0000:e5:00.0', 0x1002, undefined],
    ]);
  });
});
