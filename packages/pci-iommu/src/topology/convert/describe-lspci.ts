import { parseLspci } from '../lspci/parse-lspci.ts';
import type { Conversion, ConvertOptions } from './convert-options.ts';
import { describeFunctions } from './describe-functions.ts';

/**
 * A machine description from the output of `lspci`; best from `lspci -nnvvvxxxx` run as root.
 *
 * @returns the description and everything that the listing does not tell
 * @throws TopologyError when the text cannot be read or contradicts itself
 * @example
 * const { description, unknowns } = describeLspci(readFileSync('lspci.txt', 'utf8'), { name: 'lab-7' });
 */
export function describeLspci(text: string, options: ConvertOptions): Conversion {
  const listing = parseLspci(text);
  const conversion = describeFunctions(listing.functions, options);
  return { ...conversion, warnings: [...listing.warnings, ...conversion.warnings] };
}
