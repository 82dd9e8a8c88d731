import type { Mem } from '@dmabuf-emu/shm';
import type { TopologyFunction } from '../topology/index.ts';
import type { DerivedLayout } from './derived-layout.ts';
import type { FunctionRegisters } from './function-registers.ts';
import { Access, FunctionStruct, VirtualState } from './function-state.ts';
import { ALL_BARS, intactBars } from './layout/bar-registers.ts';
import { PciCommand, PM_CTRL_STATE_MASK, PowerState, Reg } from './registers.ts';

const F = FunctionStruct;

/** What a function takes part in, by its registers and its state at word `p`: bits of {@link Access}. */
export function accessSummary(
  fn: TopologyFunction,
  { bars, pmControl }: DerivedLayout,
  registers: FunctionRegisters,
  mem: Mem,
  p: number,
): number {
  const { isVirtualFunction } = fn;
  const command = registers.read(Reg.COMMAND, 2);
  const power = pmControl === 0 ? PowerState.D0 : registers.read(pmControl, 2) & PM_CTRL_STATE_MASK;
  const virtual = F.virtualState.load(mem, p);
  const inReset = F.inReset.get(mem, p) !== 0;
  const removed = F.removed.get(mem, p) !== 0 || (virtual & VirtualState.DISABLED) !== 0;
  const present = !inReset && !removed;
  const holds = (i: number): number => registers.read(Reg.BAR_0 + 4 * i, 4) | 0;
  const decodes = isVirtualFunction ? (virtual & VirtualState.MEMORY_OFF) === 0 : (command & PciCommand.MEMORY) !== 0;
  const moved = Math.floor(virtual / VirtualState.BAR_MOVED_0);
  let access = (isVirtualFunction ? ALL_BARS & ~moved : intactBars(bars, holds)) * Access.BAR_0;
  if (present && power === PowerState.D0 && (command & PciCommand.MASTER) !== 0) access |= Access.MASTER;
  if (present && power < PowerState.D3hot && decodes) access |= Access.DECODE;
  if (inReset) access |= Access.IN_RESET;
  if (removed) access |= Access.REMOVED;
  if (power !== PowerState.D0) access |= Access.LOW_POWER;
  return access;
}
