// What an overlay adds to a listing.
//
//   drop            BDF beginnings to leave out
//   byDeviceName    facts by the device name of the listing ({ "MT2910 Family": { "device": "0x1021", ... } })
//   byBdf           facts by BDF beginning, the longest one that fits wins
//   labels          names for people by BDF
//   acsOfBdf        ACS registers by BDF, for functions whose ACS the listing does not show
//   acsOfKind       ACS registers by function kind, for functions whose ACS the listing does not show
//   acsOfOthers     the same for all other kinds

/** Number of a hex string, anything else as it is. */
function number(value) {
  return typeof value === 'string' && value.startsWith('0x') ? Number(value) : value;
}

function numbers(facts) {
  return Object.fromEntries(Object.entries(facts).map(([key, value]) => [key, number(value)]));
}

function longestPrefix(table, bdf) {
  const fitting = Object.keys(table ?? {}).filter((prefix) => bdf.startsWith(prefix));
  fitting.sort((a, b) => b.length - a.length);
  return fitting.length === 0 ? {} : table[fitting[0]];
}

/** Listed functions without the dropped ones, with the overlay's ids, classes and types where the listing has none. */
export function applyToFunctions(functions, overlay) {
  const kept = functions.filter((fn) => !(overlay.drop ?? []).some((prefix) => fn.bdf.startsWith(prefix)));
  return kept.map((fn) => {
    const named = Object.entries(overlay.byDeviceName ?? {}).find(([name]) => fn.deviceName.endsWith(name))?.[1] ?? {};
    const facts = numbers({ ...named, ...longestPrefix(overlay.byBdf, fn.bdf) });
    return {
      ...fn,
      vendor: fn.vendor ?? facts.vendor ?? null,
      device: fn.device ?? facts.device ?? null,
      class: fn.class ?? facts.class ?? null,
      pcieType: fn.pcieType === 'unknown' && facts.pcieType !== undefined ? facts.pcieType : fn.pcieType,
      flr: fn.flr ?? facts.flr ?? null,
      pm: fn.pm ?? facts.pm ?? null,
      numaNode: fn.numaNode ?? facts.numaNode ?? null,
    };
  });
}

/** A description with labels and with ACS where the listing did not show it. */
export function applyToDescription(machine, overlay) {
  const functions = machine.functions.map((fn) => {
    const label = overlay.labels?.[fn.bdf];
    return { ...fn, ...(label === undefined ? {} : { name: label }), acs: acsOf(fn, overlay) };
  });
  return { ...machine, functions };
}

function acsOf(fn, overlay) {
  if (fn.acs !== 'unknown') return fn.acs;
  const own = overlay.acsOfBdf?.[fn.bdf];
  const known = own === undefined ? overlay.acsOfKind?.[fn.kind] : own;
  if (known !== undefined) return known === null ? null : numbers(known);
  return overlay.acsOfOthers === undefined ? fn.acs : overlay.acsOfOthers;
}
