// P12, P13. Calls machine.mem.copy(to, from, bytes) and machine.mem.fill(at, value, bytes), byte offsets.
import { gbPerSecond } from '../lib/stats.mjs';
import { createMachine } from './machine.mjs';

export async function copyAndFill({ bytes }) {
  const machine = await createMachine({ memoryBytes: Math.max(1 << 20, 2 * bytes) });
  const { mem, memoryBase: source } = machine;
  const target = source + bytes;
  mem.fill(source, 1, 2 * bytes); // unwritten pages all read from the one zero page
  return {
    copy_GB_s: gbPerSecond(bytes, () => mem.copy(target, source, bytes)),
    fill_GB_s: gbPerSecond(bytes, (i) => mem.fill(target, i & 255, bytes)),
  };
}
