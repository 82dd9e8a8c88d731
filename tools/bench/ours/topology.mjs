// What packages/pci-iommu needs to read a machine from text.
import { builtinMachine, readMachine, stringifyLspci, Topology } from '../../../packages/pci-iommu/dist/index.js';
import { median, scaled } from '../lib/stats.mjs';

/** Whole devices of a server as lspci -vvv prints them, as many as fit. */
export function listing(bytes, hex) {
  const whole = stringifyLspci(new Topology(builtinMachine('genoa-4gpu')), { hex });
  const devices = whole.split('\n\n');
  const text = [];
  // The same devices in other domains, until there is enough.
  for (let domain = 0, length = 0; length < bytes; domain++) {
    for (const device of devices) {
      if (device.trim() === '' || length + device.length > bytes) continue;
      const named = device.trimStart().replace(/^(?:[0-9a-f]{4}:)?/, `${domain.toString(16).padStart(4, '0')}:`);
      text.push(named);
      length += named.length + 2;
    }
    if (domain > 8) break;
  }
  return `${text.join('\n\n')}\n`;
}

export function readFirst({ bytes, hex }) {
  const text = listing(bytes, hex);
  const start = performance.now();
  const { description } = readMachine(text);
  return { read_ms: performance.now() - start, functions: description.functions.length, kb: text.length / 1000 };
}

export function readAgain({ bytes, hex }) {
  const text = listing(bytes, hex);
  readMachine(text);
  const times = Array.from({ length: scaled(7) }, () => {
    const start = performance.now();
    readMachine(text);
    return performance.now() - start;
  });
  return { read_ms: median(times), kb: text.length / 1000 };
}
