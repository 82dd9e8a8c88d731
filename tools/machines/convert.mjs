#!/usr/bin/env node
// Turns a listing of a real machine into a machine description: ids, tree, BARs and ACS, no text of the listing.
//
//   node tools/machines/convert.mjs --lspci FILE [--tree FILE] --overlay FILE [--format json|ts]
//   node tools/machines/convert.mjs --sysfs DIR --overlay FILE [--format json|ts]
//
// FILE is the output of lspci -nnvvvxxxx, --tree takes a drawing of lspci -tv beside it, DIR is a copy of
// /sys/bus/pci/devices. The overlay (overlays/*.json) names the machine and adds what the listing does not show; what it
// assumes is written there. Warnings go to stderr. Needs a build of packages/pci-iommu (or --topology MODULE).
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { applyToDescription, applyToFunctions } from './lib/overlay.mjs';
import { coverBridgeWindows, coverHostWindows } from './lib/cover-bridge-windows.mjs';
import { inferPorts } from './lib/infer-ports.mjs';
import { toTypeScript } from './lib/to-typescript.mjs';

const { values } = parseArgs({
  options: {
    lspci: { type: 'string' },
    tree: { type: 'string' },
    sysfs: { type: 'string' },
    overlay: { type: 'string' },
    format: { type: 'string', default: 'json' },
    topology: { type: 'string' },
  },
});

function fail(message) {
  process.stderr.write(`convert: ${message}\n`);
  process.exit(2);
}

if (values.overlay === undefined) fail('--overlay FILE is needed: it names the machine');
if ((values.lspci ?? values.tree ?? values.sysfs) === undefined) fail('one of --lspci, --tree, --sysfs is needed');
if (values.format !== 'json' && values.format !== 'ts') fail(`--format is json or ts, not ${values.format}`);

const built = new URL('../../packages/pci-iommu/dist/topology/index.js', import.meta.url);
const topology = await import(values.topology === undefined ? built.href : pathToFileURL(values.topology).href);
const overlay = JSON.parse(readFileSync(values.overlay, 'utf8'));
const warnings = [];

function readLspci(file) {
  const listing = topology.parseLspci(readFileSync(file, 'utf8'));
  warnings.push(...listing.warnings);
  return listing.functions;
}

function readSysfs(directory) {
  return readdirSync(directory).map((bdf) => {
    const file = (name) => join(directory, bdf, name);
    const numaNode = existsSync(file('numa_node')) ? Number(readFileSync(file('numa_node'), 'utf8')) : -1;
    return topology.rawFunctionFromSysfs({
      bdf,
      config: readFileSync(file('config')),
      resource: readFileSync(file('resource'), 'utf8'),
      numaNode,
    });
  });
}

function listFunctions() {
  if (values.sysfs !== undefined) return readSysfs(values.sysfs);
  const detailed = values.lspci === undefined ? [] : readLspci(values.lspci);
  if (values.tree === undefined) return detailed;
  const byBdf = new Map(detailed.map((fn) => [fn.bdf, fn]));
  return topology.parseLspciTree(readFileSync(values.tree, 'utf8')).map((drawn) => byBdf.get(drawn.bdf) ?? drawn);
}

// Facts only: bytes of configuration space would make a machine many times as large, and may hold serial numbers.
const listed = listFunctions().map((fn) => ({ ...fn, config: null }));
const functions = inferPorts(applyToFunctions(listed, overlay), overlay);
const conversion = topology.describeFunctions(functions, {
  name: overlay.name,
  title: overlay.title,
  cpu: overlay.cpu,
});
warnings.push(...conversion.warnings, ...conversion.unknowns);
const covered = coverHostWindows(coverBridgeWindows(applyToDescription(conversion.description, overlay)));
const machine = topology.parseMachineDescription(covered);
const text = topology.stringifyMachine(machine);
process.stdout.write(values.format === 'ts' ? toTypeScript(machine, text) : text);
for (const warning of warnings) process.stderr.write(`${warning.bdf ?? ''} ${warning.text}`.trimStart().concat('\n'));
