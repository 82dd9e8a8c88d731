// P19. Calls machine.trace.event(name, a, b, c, d) under `if (machine.trace.on)`, as the kernel code does.
import { nsPerTurn } from '../lib/stats.mjs';
import { createMachine } from './machine.mjs';

/** Records events; every 16th reads the clock: the host's, or one in the machine's memory (`clock: 'manual'`). */
export async function event({ clock = 'real' }) {
  return { event_ns: await nsPerEvent(8192, clock) };
}

/** The same loop with tracing switched off. */
export async function eventOff() {
  return { event_ns: await nsPerEvent(0, 'real') };
}

async function nsPerEvent(traceEvents, clock) {
  const machine = await createMachine({ traceEvents, clock });
  const name = machine.trace.name('bench.event');
  const loop = (turns) => {
    for (let i = 0; i < turns; i++) {
      if (machine.trace.on) machine.trace.event(name, i, 17, 4096, 3);
    }
  };
  return nsPerTurn(loop, 4e6);
}
