import type { BridgeWindowDescription } from '../description/machine-description.ts';
import type { RawBar } from './raw-function.ts';

const FIRST_BAR = 0x10;
const BARS_BY_HEADER: readonly number[] = [6, 2, 1];
const TWO_TO_32 = 0x1_0000_0000;

/** BAR registers of a header: bus addresses, sizes unknown. Registers that read 0 are left out. */
export function decodeBars(view: DataView, headerType: number): readonly RawBar[] {
  const count = BARS_BY_HEADER[headerType] ?? 0;
  const bars: RawBar[] = [];
  for (let index = 0; index < count; index++) {
    const low = view.getUint32(FIRST_BAR + index * 4, true);
    if (low === 0) continue;
    if ((low & 1) !== 0) {
      bars.push({ index, address: (low & ~0x3) >>> 0, size: null, kind: 'io', prefetchable: false, flags: [] });
      continue;
    }
    const is64 = (low & 0x6) === 0x4 && index + 1 < count;
    const high = is64 ? view.getUint32(FIRST_BAR + (index + 1) * 4, true) : 0;
    bars.push({
      index,
      address: high * TWO_TO_32 + ((low & ~0xf) >>> 0),
      size: null,
      kind: is64 ? 'mem64' : 'mem32',
      prefetchable: (low & 0x8) !== 0,
      flags: [],
    });
    if (is64) index++;
  }
  return bars;
}

/** Windows that a bridge header forwards downwards; disabled ones (base above limit) are left out. */
export function decodeBridgeWindows(view: DataView): readonly BridgeWindowDescription[] {
  const windows: BridgeWindowDescription[] = [
    ioWindow(view),
    {
      kind: 'mem',
      start: (view.getUint16(0x20, true) & 0xfff0) * 0x1_0000,
      end: (view.getUint16(0x22, true) & 0xfff0) * 0x1_0000 + 0xf_ffff,
    },
    prefetchWindow(view),
  ];
  return windows.filter((window) => window.start <= window.end);
}

function ioWindow(view: DataView): BridgeWindowDescription {
  const base = view.getUint8(0x1c);
  const limit = view.getUint8(0x1d);
  const wide = (base & 0xf) === 1;
  return {
    kind: 'io',
    start: (base & 0xf0) * 0x100 + (wide ? view.getUint16(0x30, true) * 0x1_0000 : 0),
    end: (limit & 0xf0) * 0x100 + 0xfff + (wide ? view.getUint16(0x32, true) * 0x1_0000 : 0),
  };
}

function prefetchWindow(view: DataView): BridgeWindowDescription {
  const base = view.getUint16(0x24, true);
  const limit = view.getUint16(0x26, true);
  const wide = (base & 0xf) === 1;
  return {
    kind: 'prefetch',
    start: (base & 0xfff0) * 0x1_0000 + (wide ? view.getUint32(0x28, true) * TWO_TO_32 : 0),
    end: (limit & 0xfff0) * 0x1_0000 + 0xf_ffff + (wide ? view.getUint32(0x2c, true) * TWO_TO_32 : 0),
  };
}
