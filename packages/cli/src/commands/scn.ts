import { Command } from '../commander.ts';
import type { ScnFlags } from './scn-flags.ts';

/** `dmabuf-emu scn FILE...` What it needs is loaded when it runs: `--help` and mistakes answer at once. */
export function scnCommand(done: (exitCode: number) => void): Command {
  return new Command('scn')
    .description('runs scenarios of system calls, and compares the answers with those of a recorded Linux kernel')
    .argument('[file...]', 'scenario files (.scn)')
    .option('--kernel <version>', 'kernel whose behaviour is emulated', '7.1')
    .option('--quirk <list>', 'single behaviours to switch on beside it, by name')
    .option('--expect <results>', 'compare with the answers in this results file (.jsonl, .jsonl.gz)')
    .option('--replay <results>', 'the same, with the scenarios taken from the results file itself')
    .option('--filter <prefix>', 'only scenarios whose id starts with it')
    .option('--jobs <n>', 'scenarios that run at the same time')
    .option('--json', 'print every result, and at the end the comparison, as a JSON document a line')
    .addHelpText('after', EXIT_CODES)
    .action(async (files: readonly string[], flags: ScnFlags) => {
      const { runScnCommand } = await import('./run-scn.ts');
      done(await runScnCommand(files, flags));
    });
}

const EXIT_CODES = `
Exit codes: 0 as recorded; 1 differences, or warnings of the emulated kernel; 2 bad usage or a malformed file.`;
