import { describeFunctions } from '../convert/describe-functions.ts';
import { groupsOf } from '../listing/read-group-listing.ts';
import { parseLspci } from '../lspci/parse-lspci.ts';
import { parseLspciTree } from '../lspci/parse-lspci-tree.ts';
import type { RawFunction } from '../lspci/raw-function.ts';
import { TopologyError } from '../topology-error.ts';
import type { MachineReader } from './machine-reader.ts';
import type { MachineFormat, MachineReading, ReadingWarning, ReadOptions } from './machine-reading.ts';
import type { SourceBytes } from './source-bytes.ts';

/** Output of `lspci` of any form, group listings and boot logs, also several in one text. */
export const textReader: MachineReader = {
  recognises: () => true,

  read(source: SourceBytes, options: ReadOptions): MachineReading {
    const listed = readFunctions(source.text);
    const conversion = describeFunctions(listed.functions, {
      name: options.name ?? source.name,
      ...(options.title === undefined ? {} : { title: options.title }),
      ...(options.cpu === undefined ? {} : { cpu: options.cpu }),
    });
    const groups = new Map(
      listed.functions.flatMap((fn) => (fn.iommuGroup === null ? [] : [[fn.bdf, fn.iommuGroup] as const])),
    );
    return {
      source: { name: source.name, format: listed.format },
      description: conversion.description,
      unknowns: conversion.unknowns,
      warnings: [...listed.warnings, ...conversion.warnings],
      listedGroups: groups.size === 0 ? null : groupsOf(groups),
    };
  },
};

interface ListedFunctions {
  readonly format: MachineFormat;
  readonly functions: readonly RawFunction[];
  readonly warnings: readonly ReadingWarning[];
}

function readFunctions(text: string): ListedFunctions {
  const drawn = tryRead(() => parseLspciTree(text)) ?? [];
  if (drawn.length === 0) return { format: 'lspci', ...parseLspci(text) };
  const detailed = tryRead(() => parseLspci(text)) ?? { functions: [], warnings: [] };
  const byBdf = new Map(detailed.functions.map((fn) => [fn.bdf, fn]));
  const names = new Set(drawn.map((fn) => fn.bdf));
  return {
    format: detailed.functions.length > 0 ? 'lspci' : 'lspci-tree',
    functions: [
      ...drawn.map((fn) => byBdf.get(fn.bdf) ?? fn),
      ...detailed.functions.filter((fn) => !names.has(fn.bdf)),
    ],
    warnings: detailed.warnings,
  };
}

function tryRead<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof TopologyError) return null;
    throw error;
  }
}
