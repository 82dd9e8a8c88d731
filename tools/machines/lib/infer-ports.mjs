const ROOT_PORT = 4;
const UPSTREAM_PORT = 5;
const DOWNSTREAM_PORT = 6;
const HAS_BRIDGES_BELOW = new Set([DOWNSTREAM_PORT, ROOT_PORT]);
const BRIDGE_CLASS = 0x0604;

/**
 * Types of bridges whose listing does not show capabilities, by the rules of PCIe: a bridge on a root bus is a root port,
 * below a root or downstream port stands an upstream port, below that stand downstream ports. Only when the overlay asks.
 */
export function inferPorts(functions, overlay) {
  if (overlay.inferPorts !== true) return functions;
  const ownerOfBus = new Map();
  for (const fn of functions) if (fn.bus !== null) ownerOfBus.set(busOf(fn, fn.bus.secondary), fn.bdf);
  const types = new Map();
  const byBdf = new Map(functions.map((fn) => [fn.bdf, fn]));
  const typeOf = (fn) => {
    if (!types.has(fn.bdf)) types.set(fn.bdf, fn.pcieType === 'unknown' && isBridge(fn) ? inferred(fn) : fn.pcieType);
    return types.get(fn.bdf);
  };
  const inferred = (fn) => {
    const owner = ownerOfBus.get(fn.bdf.slice(0, -5));
    if (owner === undefined) return ROOT_PORT;
    return HAS_BRIDGES_BELOW.has(typeOf(byBdf.get(owner))) ? UPSTREAM_PORT : DOWNSTREAM_PORT;
  };
  return functions.map((fn) => ({ ...fn, pcieType: typeOf(fn) }));
}

function isBridge(fn) {
  return fn.bus !== null && (fn.class === null || fn.class >>> 8 === BRIDGE_CLASS);
}

function busOf(fn, bus) {
  return `${fn.bdf.slice(0, -7)}${bus.toString(16).padStart(2, '0')}`;
}
