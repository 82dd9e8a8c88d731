import { Command } from '../commander.ts';
import type { TopoFlags } from './topo-flags.ts';

/** `dmabuf-emu topo [FILE]`. What it needs is loaded when it runs: `--help` and mistakes answer at once. */
export function topoCommand(done: (exitCode: number) => void): Command {
  return new Command('topo')
    .description('tells who reaches whose memory in a machine, by which path, and why: the verdicts of the kernel')
    .argument(
      '[file]',
      'lspci output, sysfs folder or archive, NCCL topology, group listing, a built-in machine; - is stdin',
    )
    .allowExcessArguments(false)
    .option('--iommu <state>', 'on or off; without it, what the source shows')
    .option('--acs-override <list>', 'ACS control words written after boot: BDF=WORD in hex, or BDF=on, BDF=off')
    .option('--disable-acs-redir <list>', 'kernel parameter pci=disable_acs_redir=: functions separated by ;')
    .option('--config-acs <pattern>', 'kernel parameter pci=config_acs=: FLAGS@BDF;...')
    .option('--cpu <vendor:family>', 'processor where the source does not tell it, such as AMD:0x19')
    .option('--devices <list>', 'gpu, nic, nvme, accel, all, or functions by label or address')
    .option('--from <name>', 'with --to: why, step by step, for this function and its memory')
    .option('--to <name>', 'the function that reaches it')
    .option('--expect-groups <file>', 'compare IOMMU groups with those that this listing shows')
    .option('--lenient', 'leave out lines that cannot be read')
    .option('--svg <file>', 'write a picture')
    .option('--html <file>', 'write a page that shows the path and the reason of each pair')
    .option(
      '--write-lspci <file>',
      'write the machine as lspci -nnDvvvxxxx prints it; - is stdout, and nothing else then',
    )
    .option('--json', 'print one JSON document')
    .option('-v, --verbose', 'every function, group, warning and unknown on a line of its own')
    .addHelpText('after', EXIT_CODES)
    .action(async (file: string | undefined, flags: TopoFlags) => {
      const { runTopoCommand } = await import('./run-topo.ts');
      done(await runTopoCommand(file, flags));
    });
}

const EXIT_CODES = `
Exit codes: 0 done; 1 groups differ from --expect-groups; 2 bad usage, or a source that cannot be read.`;
