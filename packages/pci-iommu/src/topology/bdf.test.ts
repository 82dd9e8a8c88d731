import { describe, expect, test } from 'vitest';
import { bdfKey, formatBdf, parseBdf, requesterIdOf, TopologyError, tryParseBdf } from './index.ts';

describe('names of PCI functions', () => {
  test.each([
    ['41:00.0', '0000:41:00.0', 0x4100],
    ['0000:41:00.1', '0000:41:00.1', 0x4101],
    ['0001:FF:1f.7', '0001:ff:1f.7', 0x1_ffff],
    ['10000:00:00.0', '10000:00:00.0', 0x1_0000_0000],
  ])('%s is %s', (text, name, key) => {
    const parts = parseBdf(text);
    expect(formatBdf(parts)).toBe(name);
    expect(bdfKey(parts)).toBe(key);
  });

  test('the requester id leaves the domain out', () => {
    expect(requesterIdOf(parseBdf('0002:03:04.5'))).toBe(0x0325);
  });

  test.each(['', '41:00', '41:00.8', '41:20.0', '041:00.0', '0000:4100.0', 'gpu0', '41:00.0 '])(
    '%j is refused with what was expected',
    (text) => {
      expect(tryParseBdf(text)).toBeUndefined();
      expect(() => parseBdf(text)).toThrow(TopologyError);
      expect(() => parseBdf(text)).toThrow(/expected a PCI function such as 0000:41:00.0/u);
    },
  );
});
