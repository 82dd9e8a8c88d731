import { LiveLine } from '#dist/terminal/live-line.js';
import { expect, test } from 'vitest';

function output(isTTY: boolean): { isTTY: boolean; columns: number; written: string; write(text: string): void } {
  return {
    isTTY,
    columns: 30,
    written: '',
    write(text: string) {
      this.written += text;
    },
  };
}

test('a terminal line is rewritten, cut to the width, and removed at the end', () => {
  const out = output(true);
  const line = new LiveLine(out, () => 0);
  line.update('a');
  line.update('x'.repeat(100));
  line.end();
  line.end();
  expect(out.written).toBe(`\r\u001b[2Ka\r\u001b[2K${'x'.repeat(29)}\r\u001b[2K`);
});

test('elsewhere there is at most one line a second', () => {
  const out = output(false);
  let now = 0;
  const line = new LiveLine(out, () => now);
  for (; now <= 2500; now += 100) line.update(`at ${now}`);
  line.end();
  expect(out.written).toBe('at 1000\nat 2000\n');
});
