import { describe, expect, test } from 'vitest';
import { logicalLines } from './logical-lines.ts';

describe('lines of a listing', () => {
  test('kinds and indents', () => {
    const lines = logicalLines('00:01.0 PCI bridge: X\n\tBus: a\n        Eight\n00: 86 80\n\nprose\n');
    expect(lines.map(({ kind, indent }) => [kind, indent])).toEqual([
      ['header', 0],
      ['attribute', 8],
      ['attribute', 8],
      ['hex', 0],
      ['break', 0],
      ['break', 0],
      ['break', 0],
    ]);
  });

  test('a line that a mailer wrapped is joined to the one before, which keeps its number', () => {
    const lines = logicalLines('intro\n\tACSCap: SrcValid+ \nUpstreamFwd+\n\tnext');
    expect(lines.slice(1)).toEqual([
      { line: 2, text: 'ACSCap: SrcValid+ UpstreamFwd+', indent: 8, kind: 'attribute' },
      { line: 4, text: 'next', indent: 8, kind: 'attribute' },
    ]);
  });

  test.each(['$ lspci -vvv', '[root@host ~]# echo 1 > reset', 'root@host:~# ls', '```', 'lspci -xxx -s 00:01.0'])(
    'the command %j ends a device',
    (command) => {
      const lines = logicalLines(`00:01.0 PCI bridge: X\n\tLatency: 0\n${command}`);
      expect(lines.at(-1)?.kind).toBe('break');
      expect(lines[1]?.text).toBe('Latency: 0');
    },
  );

  test('lines may end as on Windows', () => {
    expect(logicalLines('\tLatency: 0\r\n')[0]?.text).toBe('Latency: 0');
  });
});
