import { describe, expect, test } from 'vitest';
import { logicalLines } from './logical-lines.ts';

function kinds(text: string): readonly string[] {
  return logicalLines(text).map(({ kind }) => kind);
}

describe('lines of a listing', () => {
  test('kinds', () => {
    expect(kinds('00:01.0 PCI bridge: X\n\tBus: a\n        Eight\n00: 86 80\n\nprose\n-[0000:00]-+-00.0\n')).toEqual([
      'header',
      'attribute',
      'attribute',
      'hex',
      'blank',
      'other',
      'tree',
    ]);
  });

  test('a line that a mailer wrapped is joined to the one before, which keeps its number', () => {
    const lines = logicalLines('intro\n\tACSCap: SrcValid+ \nUpstreamFwd+\n\tnext');
    expect(lines.slice(1)).toEqual([
      { line: 2, text: 'ACSCap: SrcValid+ UpstreamFwd+', indented: true, kind: 'attribute' },
      { line: 4, text: 'next', indented: true, kind: 'attribute' },
    ]);
  });

  test('a line that was too short to be wrapped is not joined', () => {
    expect(kinds('00:01.0 PCI bridge: X\nin a group of its own')).toEqual(['header', 'other']);
    const long = `00:01.0 PCI bridge: ${'Long '.repeat(8)}Name`;
    expect(logicalLines(`${long}\nGoes on`)[0]?.text).toBe(`${long} Goes on`);
  });

  test('bytes that were wrapped', () => {
    expect(logicalLines('00: 86 80 00\n00 01\n').map(({ text }) => text)).toEqual(['00: 86 80 00 00 01']);
  });

  test.each(['$ lspci -vvv', '[root@host ~]# echo 1 > reset', 'root@host:~# ls', 'lspci -xxx -s 00:01.0'])(
    'the command %j ends a device',
    (command) => {
      const lines = logicalLines(`00:01.0 PCI bridge: X\n\tLatency: 0\n${command}`);
      expect(lines.at(-1)?.kind).toBe('command');
      expect(lines[1]?.text).toBe('Latency: 0');
    },
  );

  test('a quoted mail', () => {
    const lines = logicalLines('> > 00:01.0 PCI bridge: X\n> > \tLatency: 0\n>\n');
    expect(lines.map(({ kind, text }) => [kind, text])).toEqual([
      ['header', '00:01.0 PCI bridge: X'],
      ['attribute', 'Latency: 0'],
      ['blank', ''],
    ]);
  });

  test('a listing that lost its blanks', () => {
    expect(kinds('00:01.0 PCI bridge: X\nLatency: 0\nMemory at 1000 (32-bit, prefetchable)\n')).toEqual([
      'header',
      'attribute',
      'attribute',
    ]);
  });

  test('a listing that was moved to the right', () => {
    expect(kinds('    00:01.0 PCI bridge: X\n    \tLatency: 0\n    00: 86 80\n')).toEqual([
      'header',
      'attribute',
      'hex',
    ]);
  });

  test('lines may end as on Windows', () => {
    expect(logicalLines('\tLatency: 0\r\n')[0]?.text).toBe('Latency: 0');
  });

  test('lines of /proc/iomem stay apart, however long', () => {
    const text = '    4000000000-400007ffff : virtio-pci-modern\n100000000000-10ffffffffff : PCI Bus 0000:40\n';
    expect(logicalLines(text).map((line) => line.text)).toEqual([
      '4000000000-400007ffff : virtio-pci-modern',
      '100000000000-10ffffffffff : PCI Bus 0000:40',
    ]);
  });
});
