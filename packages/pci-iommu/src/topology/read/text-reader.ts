import type { Bdf } from '../bdf.ts';
import { describeFunctions } from '../convert/describe-functions.ts';
import { type BootLog, readBootLog } from '../listing/boot-log.ts';
import { withoutGroupPrefix } from '../listing/column-lines.ts';
import { cpuOfLines } from '../listing/cpu-lines.ts';
import { groupEntries } from '../listing/group-lines.ts';
import { groupStates } from '../listing/group-states.ts';
import { type IoMemory, readIoMemory } from '../listing/iomem.ts';
import type { ListedGroup } from '../listing/listed-group.ts';
import { groupsOf } from '../listing/read-group-listing.ts';
import { type LogicalLine, logicalLines } from '../lspci/logical-lines.ts';
import { TopologyError } from '../topology-error.ts';
import { functionsOfText, type TextFunctions } from './functions-of-text.ts';
import { hostWindowsOf } from './host-windows-of-text.ts';
import type { MachineReader } from './machine-reader.ts';
import type { MachineReading, ReadOptions } from './machine-reading.ts';
import { ReadingNotes } from './reading-notes.ts';
import type { SourceBytes } from './source-bytes.ts';

/** Output of `lspci` of any form, drawings, group listings, boot logs, /proc/iomem: also all of them in one text. */
export const textReader: MachineReader = {
  recognises: () => true,

  read(source: SourceBytes, options: ReadOptions): MachineReading {
    const notes = new ReadingNotes(options.lenient === true);
    refuseBinary(source.text, notes);
    const lines = logicalLines(source.text).map((line) => withoutGroupPrefix(line));
    const log = readBootLog(lines);
    const memory = readIoMemory(lines);
    const listed = functionsOfText(lines, log, memory, notes);
    if (listed.functions.length === 0) {
      throw new TopologyError(
        'expected output of lspci, a drawing, IOMMU groups or a boot log: no PCI function such as "00:1c.0 PCI bridge: ..." found',
        { line: 1 },
      );
    }
    const conversion = describeFunctions(
      listed.functions,
      convertOptions(source, options, lines, listed, log, memory, notes),
    );
    const groups = listedGroups(lines, new Set(listed.functions.map((fn) => fn.bdf)), notes);
    return {
      source: { name: source.name, format: listed.format },
      description: conversion.description,
      unknowns: [...notes.unknowns, ...conversion.unknowns],
      warnings: [...notes.warnings, ...conversion.warnings],
      listedGroups: groups,
    };
  },
};

function convertOptions(
  source: SourceBytes,
  options: ReadOptions,
  lines: readonly LogicalLine[],
  listed: TextFunctions,
  log: BootLog,
  memory: IoMemory,
  notes: ReadingNotes,
): Parameters<typeof describeFunctions>[1] {
  const cpu = options.cpu ?? cpuOfLines(lines);
  return {
    name: options.name ?? source.name,
    ...(options.title === undefined ? {} : { title: options.title }),
    ...(cpu === null ? {} : { cpu }),
    hostWindows: hostWindowsOf(log, memory, notes),
    rootBuses: new Set([...listed.rootBuses, ...log.rootBuses]),
    lenient: notes.lenient,
  };
}

function refuseBinary(text: string, notes: ReadingNotes): void {
  const at = text.indexOf('\0');
  if (at >= 0) notes.refuse('expected text, found a NUL byte', text.slice(0, at).split('\n').length);
}

/** Of functions that the listing has: a boot log may tell of others that were there earlier or later. */
function listedGroups(
  lines: readonly LogicalLine[],
  functions: ReadonlySet<Bdf>,
  notes: ReadingNotes,
): readonly ListedGroup[] | null {
  const [first, ...others] = groupStates(groupEntries(lines).filter(({ bdf }) => functions.has(bdf)));
  if (first === undefined) return null;
  for (const { line, groupOf } of others) {
    const differing = [...groupOf].filter(([bdf, group]: readonly [Bdf, number]) => {
      const known = first.groupOf.get(bdf);
      return known !== undefined && known !== group;
    });
    const names = differing.map(([bdf]) => bdf).join(', ');
    notes.warn(`IOMMU groups listed again, with others for ${names}; the first listing is kept`, line);
  }
  return groupsOf(first.groupOf);
}
