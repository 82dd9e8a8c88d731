import { writeFile } from 'node:fs/promises';
import { stringifyLspci, Topology } from '@dmabuf-emu/pci-iommu';
import { styleFor } from '../terminal/style.ts';
import { chooseDevices, type ChosenDevice, functionOf, labelled } from '../topo/choose-devices.ts';
import { compareGroups } from '../topo/group-comparison.ts';
import { type MachineView, P2pTable } from '../topo/machine-view.ts';
import { topoPage } from '../topo/picture/page.ts';
import { topoSvg } from '../topo/picture/svg.ts';
import { wholeText } from '../topo/text/whole-text.ts';
import { topoDocument } from '../topo/topo-document.ts';
import type { TopoFlags } from './topo-flags.ts';
import { readExpectedGroups, readTopoInput } from './topo-input.ts';

const DEFAULT_WIDTH = 120;

/** Shows a machine as asked for on the command line: text or a document on stdout, pictures in files. @returns the exit code. */
export async function runTopoCommand(file: string | undefined, flags: TopoFlags): Promise<number> {
  const { view, setupText } = readTopoInput(file, flags);
  const devices = asked(view, flags);
  const expected = flags.expectGroups === undefined ? undefined : readExpectedGroups(flags.expectGroups);
  const comparison = expected === undefined ? undefined : compareGroups(view, expected);
  const exitCode = comparison === undefined || comparison.differences.length === 0 ? 0 : 1;
  if (flags.writeLspci !== undefined) {
    const text = stringifyLspci(new Topology(view.reading.description), {
      hex: true,
      ...(view.setup.iommu ? { groups: view.groups } : {}),
    });
    if (flags.writeLspci === '-') {
      process.stdout.write(text);
      return exitCode;
    }
    await writeFile(flags.writeLspci, text);
  }
  const table = new P2pTable(view, devices, flags.from !== undefined && devices.length === 1);
  if (flags.svg !== undefined) await writeFile(flags.svg, topoSvg(view, table));
  if (flags.html !== undefined) await writeFile(flags.html, topoPage(view, table, setupText));
  if (flags.json === true) {
    const document = topoDocument(view, table, comparison);
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
    return exitCode;
  }
  const text = wholeText({
    view,
    setupText,
    table,
    pair: flags.from !== undefined,
    ...(comparison === undefined ? {} : { comparison: { source: flags.expectGroups ?? '', result: comparison } }),
    all: flags.verbose === true,
    width: process.stdout.columns ?? DEFAULT_WIDTH,
    style: styleFor(process.stdout),
  });
  process.stdout.write(text);
  return exitCode;
}

/** The devices that are asked about: a pair in its order, a list, or those that people look for. */
function asked(view: MachineView, { from, to, devices }: TopoFlags): readonly ChosenDevice[] {
  const { topology } = view;
  if (from === undefined || to === undefined) return chooseDevices(topology, devices);
  const pair = new Set([functionOf(topology, '--from', from), functionOf(topology, '--to', to)]);
  return labelled(topology, [...pair]);
}
