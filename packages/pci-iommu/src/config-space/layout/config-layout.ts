import type { TopologyFunction } from '../../topology/index.ts';
import {
  CAPABILITIES_AT,
  CONFIG_BYTES,
  CONFIG_BYTES_CONVENTIONAL,
  EXTENDED_AT,
  PCI_STATUS_CAP_LIST,
  Reg,
} from '../registers.ts';
import type { CapabilityPlace, CapabilityRules } from './capability-rules.ts';
import { CONVENTIONAL_CAPABILITIES } from './conventional-capabilities.ts';
import { EXTENDED_CAPABILITIES } from './extended-capabilities.ts';
import { layOutHeader } from './header.ts';
import { RegisterImage } from './register-image.ts';

/** A list longer than this loops. */
const MAX_CAPABILITIES = 96;

/** Configuration space of a function as it is at start, and what can be written in it. */
export interface ConfigLayout {
  /** 4096, or 256 for a function without PCI Express. */
  readonly size: number;
  readonly bytes: Uint8Array;
  /** By offset of the dword: bits that software can write, and bits that it clears by writing ones. */
  readonly writable: ReadonlyMap<number, number>;
  readonly clearable: ReadonlyMap<number, number>;
  /** In the order of the two lists. */
  readonly capabilities: readonly CapabilityPlace[];
}

/**
 * Lays configuration space out: what a dump showed where the description has one, capabilities that it names in the places
 * of {@link CapAt} or the first free ones, and over both the facts of the description.
 */
export function layOutConfig(fn: TopologyFunction): ConfigLayout {
  const size = fn.pcieType === null ? CONFIG_BYTES_CONVENTIONAL : CONFIG_BYTES;
  const image = new RegisterImage(size);
  image.takeDump(fn);
  layOutHeader(image, fn);
  image.take(0, CAPABILITIES_AT);
  const conventional = placeAll(image, fn, CONVENTIONAL_CAPABILITIES, conventionalList(image));
  linkConventional(image, conventional);
  const extended = size === CONFIG_BYTES ? placeAll(image, fn, EXTENDED_CAPABILITIES, extendedList(image)) : [];
  linkExtended(image, extended);
  const capabilities = [...conventional, ...extended];
  // Of capabilities that a list has twice, software knows the first.
  for (const rules of CONVENTIONAL_CAPABILITIES) applyTo(conventional, rules, image, fn);
  for (const rules of EXTENDED_CAPABILITIES) applyTo(extended, rules, image, fn);
  return { size, bytes: image.bytes, writable: image.writable, clearable: image.clearable, capabilities };
}

function applyTo(
  places: readonly CapabilityPlace[],
  rules: CapabilityRules,
  image: RegisterImage,
  fn: TopologyFunction,
): void {
  const place = places.find(({ id }) => id === rules.id);
  if (place !== undefined) rules.apply(image, place.at, fn);
}

/** The capabilities in a dump, then those that the description names besides. */
function placeAll(
  image: RegisterImage,
  fn: TopologyFunction,
  all: readonly CapabilityRules[],
  dumped: readonly CapabilityPlace[],
): CapabilityPlace[] {
  const places = [...dumped];
  for (const rules of all) {
    if (!rules.wanted(fn) || dumped.some(({ id }) => id === rules.id)) continue;
    const length = Math.ceil(rules.length(fn) / 4) * 4;
    const [from, to] = rules.extended ? [EXTENDED_AT, CONFIG_BYTES] : [CAPABILITIES_AT, CONFIG_BYTES_CONVENTIONAL];
    // The list of extended capabilities begins where it begins.
    const wish = rules.extended && places.length === 0 ? EXTENDED_AT : rules.at;
    const at = image.findRoom(wish, length, from, to);
    if (at === 0) continue;
    image.take(at, length);
    places.push({ id: rules.id, at, extended: rules.extended });
    if (rules.extended) image.put(at, 4, rules.id | ((rules.version ?? 1) << 16));
    else image.put(at, 1, rules.id);
    rules.fresh(image, at, fn);
  }
  return places;
}

function linkConventional(image: RegisterImage, places: readonly CapabilityPlace[]): void {
  const bit = places.length > 0 ? PCI_STATUS_CAP_LIST : 0;
  image.merge(Reg.STATUS, 2, PCI_STATUS_CAP_LIST, bit);
  image.put(Reg.CAPABILITY_LIST, 1, places[0]?.at ?? 0);
  places.forEach(({ at }, i) => image.put(at + 1, 1, places[i + 1]?.at ?? 0));
}

function linkExtended(image: RegisterImage, places: readonly CapabilityPlace[]): void {
  places.forEach(({ at }, i) => {
    image.merge(at, 4, 0xfff0_0000, ((places[i + 1]?.at ?? 0) << 20) >>> 0);
  });
}

function conventionalList(image: RegisterImage): CapabilityPlace[] {
  const places: CapabilityPlace[] = [];
  if ((image.read(Reg.STATUS, 2) & PCI_STATUS_CAP_LIST) === 0) return places;
  let at = image.read(Reg.CAPABILITY_LIST, 1) & 0xfc;
  while (at >= CAPABILITIES_AT && image.isTaken(at) && places.length < MAX_CAPABILITIES) {
    places.push({ id: image.read(at, 1), at, extended: false });
    at = image.read(at + 1, 1) & 0xfc;
  }
  return places;
}

function extendedList(image: RegisterImage): CapabilityPlace[] {
  const places: CapabilityPlace[] = [];
  let at = EXTENDED_AT;
  while (at >= EXTENDED_AT && image.isTaken(at) && places.length < MAX_CAPABILITIES) {
    const header = image.read(at, 4);
    if (header === 0 || header === 0xffff_ffff) break;
    places.push({ id: header & 0xffff, at, extended: true });
    at = (header >>> 20) & 0xffc;
  }
  return places;
}
