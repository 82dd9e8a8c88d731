export { type LspciTextOptions, stringifyLspci } from './stringify-lspci.ts';
