export type { Conversion, ConvertOptions } from './convert-options.ts';
export { describeFunctions } from './describe-functions.ts';
export { describeLspci } from './describe-lspci.ts';
