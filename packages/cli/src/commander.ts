import { createRequire } from 'node:module';

/**
 * The parser of the command line. It is required, as it is CommonJS: to import that, Node first compiles a parser of its own
 * that looks for the names of exports, which takes a quarter of the time that the command adds to an empty script.
 */
export const { Command, CommanderError } = createRequire(import.meta.url)('commander') as typeof import('commander');
export type Command = import('commander').Command;
