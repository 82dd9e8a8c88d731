import { Command, CommanderError } from './commander.ts';
import { scnCommand } from './commands/scn.ts';
import { stressCommand } from './commands/stress.ts';
import { topoCommand } from './commands/topo.ts';
import { traceCommand } from './commands/trace.ts';
import { EXIT_USAGE } from './exit-code.ts';

/**
 * The command line: parses, runs, prints.
 * @param args what follows the program's name.
 * @returns the exit code: 0 clean, 1 violation, 2 bad usage or input, 3 hang.
 */
export async function runCli(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command('dmabuf-emu')
    .description('Linux DMA-BUF buffer sharing, emulated in user space on worker threads')
    .showHelpAfterError('(add --help for the options)')
    .exitOverride();
  const done = (code: number): void => void (exitCode = code);
  program.addCommand(stressCommand(done));
  program.addCommand(scnCommand(done));
  program.addCommand(topoCommand(done));
  program.addCommand(traceCommand(done));
  for (const command of program.commands) command.copyInheritedSettings(program);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    return failure(error);
  }
  return exitCode;
}

function failure(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed the message. Help that was asked for is no mistake.
    return error.exitCode === 0 ? 0 : EXIT_USAGE;
  }
  if (isBadInput(error)) {
    process.stderr.write(`dmabuf-emu: ${error.message}\n`);
    return EXIT_USAGE;
  }
  process.stderr.write(`dmabuf-emu: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}

/** Recognised by name: the packages that throw them are not loaded unless needed. */
const BAD_INPUT = ['InputError', 'UsageError', 'TopologyError', 'TraceFileError', 'ValueError', 'ScnError'];

function isBadInput(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  return BAD_INPUT.includes(error.name) || ('syscall' in error && 'path' in error);
}
