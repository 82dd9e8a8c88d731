import { i32, type Machine, struct } from '@dmabuf-emu/shm';
import { HEAP_QUIRKS } from '../quirks.ts';

const ParameterStruct = struct('udmabuf.parameters', { listLimit: i32(), sizeLimitMb: i32() });
const P = ParameterStruct;

/** The parameters of the udmabuf module; they can be changed at any time. @kernel /sys/module/udmabuf/parameters */
export interface UdmabufParameters {
  /** Most items of a list. @kernel list_limit */
  listLimit: number;
  /** Most mebibytes of a buffer. @kernel size_limit_mb */
  sizeLimitMb: number;
}

/** The module's parameters on this machine: reading and writing goes to the machine. */
export function udmabufParameters(machine: Machine): UdmabufParameters {
  const { mem } = machine;
  const at = machine.root('udmabuf.parameters', P.$words);
  machine.once('udmabuf.parameters', () => {
    P.listLimit.store(mem, at, 1024);
    P.sizeLimitMb.store(mem, at, HEAP_QUIRKS.has(machine, 'udmabuf.noSizeLimit') ? 2 ** 31 - 1 : 64);
  });
  return {
    get listLimit() {
      return P.listLimit.load(mem, at);
    },
    set listLimit(limit) {
      P.listLimit.store(mem, at, limit);
    },
    get sizeLimitMb() {
      return P.sizeLimitMb.load(mem, at);
    },
    set sizeLimitMb(limit) {
      P.sizeLimitMb.store(mem, at, limit);
    },
  };
}
