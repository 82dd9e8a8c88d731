import { Command } from '../commander.ts';
import type { StressFlags } from './stress-flags.ts';

/** `dmabuf-emu stress`. What it needs is loaded when it runs: `--help` and mistakes answer at once. */
export function stressCommand(done: (exitCode: number) => void): Command {
  return new Command('stress')
    .description('runs exporters against importers on worker threads and checks every byte and every rule')
    .allowExcessArguments(false)
    .option('--scenario <file>', 'JSON or YAML file; the other options override it')
    .option('--machine <name>', 'built-in machine, or a file with one: lspci output, a sysfs copy, NCCL XML, ...')
    .option('--exporter <list>', 'vfio, rdma, heap or both (vfio and rdma)')
    .option('--importers <list>', 'engines by kind, such as odp=2,gpu=1')
    .option('--rogue <kind>', 'adds an importer that breaks this rule')
    .option('--threads <n>', 'importer threads; the list of importers is repeated or cut')
    .option('--duration <time>', 'length of the load, such as 10s or 2m')
    .option('--ops <n>', 'stop after this many importer steps instead')
    .option('--seed <n>', 'seed of everything random (default: a new one)')
    .option('--faults <list>', 'rates, such as revoke=50/s,flr=2/s,reset=2/s,alloc=1%,kill=2/s')
    .option('--kernel <version>', 'kernel whose behaviour is emulated')
    .option('--json', 'print the result as one JSON document on stdout')
    .option('--trace <file>', 'record events to this file')
    .option('--out <dir>', 'write result.json, summary.txt and run.trace there')
    .addHelpText('after', EXIT_CODES)
    .action(async (flags: StressFlags) => {
      const { runStressCommand } = await import('./run-stress.ts');
      done(await runStressCommand(flags));
    });
}

const EXIT_CODES = `
Exit codes: 0 clean; 1 violation, leak or failed verify; 2 bad usage or input; 3 hang.`;
