import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeLspci, parseLspci, TopologyError } from '../index.ts';

const LINES = [
  '00:00.0 Host bridge [0600]: Advanced Micro Devices, Inc. [AMD] Family 17h Root Complex [1022:1450]',
  '00:01.1 PCI bridge [0604]: Example Bridge [1022:1453] (rev 01) (prog-if 00 [Normal decode])',
  '0000:01:00.0 0200: 15b3:1021',
  '\tControl: I/O+ Mem+ BusMaster+',
  '\tBus: primary=00, secondary=01, subordinate=01, sec-latency=0',
  '\tMemory behind bridge: f0000000-f0ffffff [size=16M]',
  '\tRegion 0: Memory at f0000000 (64-bit, prefetchable) [size=1M]',
  '\tRegion 2: I/O ports at 2000 [size=32]',
  '\tExpansion ROM at f0100000 [disabled] [size=512K]',
  '\tNUMA node: 1',
  '\tIOMMU group: 7',
  '\tCapabilities: [60] Express (v2) Root Port (Slot+), MSI 00',
  '\t\tDevCap:\tMaxPayload 512 bytes FLReset+',
  '\tCapabilities: [230 v1] Access Control Services',
  '\t\tACSCap:\tSrcValid+ TransBlk+ ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans+',
  '\t\tACSCtl:\tSrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-',
  '00: 22 10 50 14 00 00 00 00 00 00 00 06 00 00 80 00',
  '10: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00',
  '20: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00',
  '30: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00',
  '',
  'prose',
];

/** One line, perhaps with one character changed or cut off. */
const damagedLine = fc
  .record({
    line: fc.constantFrom(...LINES),
    at: fc.nat(80),
    what: fc.constantFrom('keep', 'cut', 'change'),
    by: fc.string({ maxLength: 2 }),
  })
  .map(({ line, at, what, by }) => {
    if (what === 'keep') return line;
    return what === 'cut' ? line.slice(0, at) : line.slice(0, at) + by + line.slice(at + 1);
  });

/** The error that the call throws, or `null`. */
function errorOf(call: () => unknown): unknown {
  try {
    call();
    return null;
  } catch (error) {
    return error;
  }
}

describe('whatever the text', () => {
  test('it is read, or refused with a line number', () => {
    fc.assert(
      fc.property(fc.array(damagedLine, { maxLength: 30 }), (lines) => {
        const error = errorOf(() => parseLspci(lines.join('\n')));
        const refused = error instanceof TopologyError && error.line >= 1 && error.line <= Math.max(1, lines.length);
        expect(error === null || refused).toBe(true);
      }),
      { numRuns: propertyRuns(500) },
    );
  });

  test('what is read becomes a machine, or is refused as one that contradicts itself', () => {
    fc.assert(
      fc.property(fc.array(damagedLine, { maxLength: 30 }), (lines) => {
        const error = errorOf(() => describeLspci(lines.join('\n'), { name: 'x' }));
        expect(error === null || error instanceof TopologyError).toBe(true);
      }),
      { numRuns: propertyRuns(500) },
    );
  });
});
