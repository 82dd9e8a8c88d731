import { parseScn, ScnError } from '@dmabuf-emu/uapi';
import { expect, test } from 'vitest';

const shape = (text: string): unknown =>
  parseScn(text, 'x.scn').map(({ id, steps }) => [
    id,
    steps.map(({ op, as, args }) => [as, op, Object.fromEntries(args)]),
  ]);

test('steps: a variable, an operation, arguments', () => {
  expect(
    shape('scenario a.b\n  u = open path=/dev/udmabuf\nclose fd=$u # no comment here\n'.replace(/ #.*/, '')),
  ).toEqual([
    [
      'a.b',
      [
        ['u', 'open', { path: '/dev/udmabuf' }],
        ['', 'close', { fd: '$u' }],
      ],
    ],
  ]);
});

test('comments and empty lines are passed over, needs belongs to its scenario', () => {
  const [first, second] = parseScn('# head\n\nscenario a\nneeds /dev/x\nscenario b\n', 'x.scn');
  expect(first).toMatchObject({ id: 'a', needs: '/dev/x', steps: [] });
  expect(second).toMatchObject({ id: 'b', needs: '' });
});

test('quotes and escapes are bytes', () => {
  const [scenario] = parseScn('scenario a\nset_name fd=1 name="a b\\n\\xc3\\xff\\\\\\"" x=\n', 'x.scn');
  expect(scenario!.steps[0]!.args).toEqual([
    ['fd', '1'],
    ['name', 'a b\n\u00c3\u00ff\\"'],
    ['x', ''],
  ]);
});

test('bg starts a step in the background', () => {
  const [scenario] = parseScn('scenario a\nw = bg poll fd=1\nbg poll fd=1\njoin name=w\n', 'x.scn');
  expect(scenario!.steps.map(({ op, as, background }) => [op, as, background])).toEqual([
    ['poll', 'w', true],
    ['poll', '', true],
    ['join', '', false],
  ]);
});

test('for repeats steps and scenarios, nested, with ranges', () => {
  const text = `
for X in a b
for N in 1..2
scenario s.%X%.%N%
for M in 7 0..0
op k=%X%%N%%M%
end
end
end`;
  expect(shape(text)).toEqual(
    ['a', 'b'].flatMap((x) => [1, 2].map((n) => [`s.${x}.${n}`, [7, 0].map((m) => ['', 'op', { k: `${x}${n}${m}` }])])),
  );
});

test('a range that runs backwards is empty, negative numbers count up', () => {
  expect(shape('scenario a\nfor I in 2..1\nop k=%I%\nend\nfor I in -1..1\nop k=%I%\nend')).toEqual([
    ['a', [-1, 0, 1].map((i) => ['', 'op', { k: String(i) }])],
  ]);
});

test.each([
  ['op k=1', 1, "expected 'scenario ID' before the first step"],
  ['scenario a\nfor I in\nend', 2, "expected 'for NAME in VALUE ...'"],
  ['scenario a\n\nfor I in 1\nop', 3, "expected an 'end' for this 'for'"],
  ['scenario a\nend', 2, "expected a 'for' before this 'end'"],
  ['scenario a\nop k', 2, "expected key=value, got 'k'"],
  ['scenario a\nop k="x', 2, 'expected a closing quote after k='],
  ['scenario a\nx = bg ', 2, 'expected [name =] [bg] operation'],
  ['scenario a b', 1, 'without spaces in the id'],
  [`scenario a\n${'n'.repeat(32)} = op`, 2, 'a name of at most 31 characters'],
  ['scenario a\nscenario a', 0, "found 'a' twice"],
])('%j is refused with its line and what was expected', (text, line, message) => {
  const parse = (): unknown => parseScn(text, 'dir/x.scn');
  expect(parse).toThrow(ScnError);
  expect(parse).toThrow(message);
  expect(parse).toThrow(line === 0 ? /^dir\/x\.scn: / : `dir/x.scn: line ${line}: `);
});
