import type { MachineDescription } from '../description/machine-description.ts';
import { parseLspci } from '../lspci/parse-lspci.ts';
import type { Conversion, ConvertOptions } from './convert-options.ts';
import { describeFunctions } from './describe-functions.ts';

/**
 * A machine description from the output of `lspci`; best from `lspci -nnvvvxxxx` run as root.
 *
 * @returns the description and a warning for everything that the listing does not tell
 * @throws TopologyError when the text cannot be read or contradicts itself
 * @example
 * const { description, warnings } = describeLspci(readFileSync('lspci.txt', 'utf8'), { name: 'lab-7' });
 */
export function describeLspci(text: string, options: ConvertOptions): Conversion<MachineDescription> {
  const listing = parseLspci(text);
  const { description, warnings } = describeFunctions(listing.functions, options);
  return { description, warnings: [...listing.warnings, ...warnings] };
}
