import { type CapabilityText, conventionalText } from './conventional-text.ts';
import { acsControlText, extendedText } from './extended-text.ts';
import type { FunctionView } from './function-view.ts';
import { hexDigits, linesAt, type TextLine } from './words.ts';

const EXPRESS = 0x10;
const VERSION_SHIFT = 16;
/** Where a capability is said to be of which no registers are known. */
const UNPLACED_ACS = 0x148;

/** The capabilities that are known; where there may be more, `<access denied>` says so. */
export function capabilityLines(view: FunctionView): readonly TextLine[] {
  const { pcieType, acs, description } = view.fn;
  const listed = view.capabilities
    .filter(({ id, extended }) => pcieType !== 'unknown' || extended || id !== EXPRESS)
    .flatMap(({ id, offset, extended }) => {
      if (!extended) return capability(hexDigits(offset, 2), conventionalText(view, id ?? 0, offset));
      const version = (view.read(offset, 4) >>> VERSION_SHIFT) & 0xf;
      return capability(`${hexDigits(offset, 3)} v${version}`, extendedText(view, id ?? 0, offset));
    });
  if (pcieType === null || acs !== 'unknown') return [...listed, ...hidden(view)];
  if (description.acsListed === true) {
    const unread = { name: 'Access Control Services', lines: [] };
    return [...listed, ...capability(`${hexDigits(UNPLACED_ACS, 3)} v1`, unread), ...hidden(view)];
  }
  const control = description.acsControlIfAny;
  return [...listed, ...hidden(view), ...(control === undefined ? [] : linesAt(2, acsControlText(control)))];
}

function hidden(view: FunctionView): readonly TextLine[] {
  return view.isKnown ? [] : linesAt(1, 'Capabilities: <access denied>');
}

function capability(place: string, { name, lines }: CapabilityText): readonly TextLine[] {
  return [...linesAt(1, `Capabilities: [${place}] ${name}`), ...lines];
}
