// Writes docs/topo-files.md: what `dmabuf-emu topo` makes of every listing of a real machine, beside what is known of it.
//
//   node tools/topo-table/run.mjs [--check]
//
// The listings are not part of the repository: they are in ../shared/data beside it, or where DMABUF_EMU_DATA says. Without
// them nothing is compared or written. Exits with 1 when something differs from what is known; with --check, which writes
// nothing, also when the page is not what would be written. Needs a build.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { explainP2p, readMachineFile, Topology, whitelistWithout } from '@dmabuf-emu/pci-iommu';
import { FILES } from './expectations.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = `${root}docs/topo-files.md`;
const MAIN = `${root}packages/cli/dist/main.js`;
const DATA =
  process.env['DMABUF_EMU_DATA'] ?? fileURLToPath(new URL('../shared/data', new URL('../..', import.meta.url)));
const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });

if (!existsSync(join(DATA, 'pci'))) {
  console.log(`topo-table: listings of real machines ABSENT (${DATA}): nothing compared; set DMABUF_EMU_DATA`);
  process.exit(0);
}
const rows = FILES.map((entry) => rowOf(entry));
for (const { file, problems } of rows) for (const problem of problems) console.log(`topo-table: ${file}: ${problem}`);
if (rows.some(({ problems }) => problems.length > 0)) process.exitCode = 1;

const text = render();
if (!values.check) {
  writeFileSync(PAGE, text);
} else if (!existsSync(PAGE) || readFileSync(PAGE, 'utf8') !== text) {
  console.log('docs/topo-files.md is out of date: node tools/topo-table/run.mjs');
  process.exitCode = 1;
}

/** Everything that the page says of one file. */
function rowOf(entry) {
  const { file } = entry;
  const path = join(DATA, file);
  if (!existsSync(path))
    return { file, problems: ['not there'], read: 'not there', unknowns: '', groups: '', verdicts: '' };
  const source = entry.machine === undefined ? path : fileURLToPath(new URL(entry.machine, import.meta.url));
  const problems = [];
  const plain = topo([source, '--json']);
  if (plain.status !== 0) {
    return { file, problems: [plain.stderr], read: 'refused', unknowns: '', groups: '', verdicts: '' };
  }
  return {
    file,
    problems,
    read: `${plain.document.devices.length}${entry.machine === undefined ? '' : ' (from what the report says)'}`,
    unknowns: unknownsOf(plain.document),
    groups: groupsOf(entry, source, path, problems),
    verdicts: (entry.verdicts ?? [])
      .map((verdict) => verdictOf(verdict, source, plain.document, problems))
      .join('<br>'),
  };
}

function topo(args) {
  const out = spawnSync(process.execPath, [MAIN, 'topo', ...args], { encoding: 'utf8', maxBuffer: 2 ** 30 });
  const document = out.stdout.startsWith('{') ? JSON.parse(out.stdout) : undefined;
  return { status: out.status, document, stderr: out.stderr.trim().replaceAll(`${DATA}/`, '') };
}

function unknownsOf({ unknowns }) {
  const counts = new Map();
  for (const { what } of unknowns) counts.set(what, (counts.get(what) ?? 0) + 1);
  return [...counts].map(([what, count]) => `${what} ${count}`).join(', ') || 'none';
}

function groupsOf({ groups }, source, path, problems) {
  if (groups.none !== undefined) return groups.none;
  const listing = groups.listing === undefined ? path : join(DATA, groups.listing);
  const { document, stderr } = topo([source, '--expect-groups', listing, '--json']);
  const result = document?.groupComparison;
  if (result === undefined) {
    problems.push(stderr);
    return 'refused';
  }
  const gone = groups.gone ?? [];
  const absent = result.differences
    .filter(({ kind }) => kind === 'not-in-machine')
    .flatMap(({ functions }) => functions);
  if (result.differences.length === absent.length && absent.toSorted().join() === gone.toSorted().join()) {
    const more = gone.length === 0 ? '' : `; the listing has ${gone.length} functions more: ${groups.because}`;
    return `equal, all ${result.listed}${more}`;
  }
  const open = ({ kind, computed }) => kind === 'not-listed' || computed.some((one) => isOpen(document, one));
  if (groups.unknown === true && result.differences.every(open)) {
    return `${result.equal} of ${result.listed} equal; the others rest on what is not told, and say so`;
  }
  const why = result.differences.flatMap(({ kind, why: reasons }) => [`${kind}: ${reasons.join('; ')}`]);
  problems.push(`groups differ: ${why.join(' | ')}`);
  return `${result.equal} of ${result.listed}`;
}

/** Whether what is not known could make it another group. */
function isOpen({ groups }, functions) {
  return groups.some(({ devices, restsOn }) => restsOn.length > 0 && devices.some((bdf) => functions.includes(bdf)));
}

/** Asks one thing that is known. @returns what the page says of it */
function verdictOf(verdict, source, plain, problems) {
  const answers = answersOf(verdict, source, plain);
  const wrong = answers.filter(({ expected, got }) => expected !== got);
  for (const { of, expected, got } of wrong.slice(0, 3))
    problems.push(`${verdict.what}: ${of}: expected ${expected}, got ${got}`);
  const types = [...new Set(answers.map(({ expected }) => expected))].join(', ');
  const count = wrong.length === 0 ? `all ${answers.length}` : `${answers.length - wrong.length} of ${answers.length}`;
  if (answers.length === 0) problems.push(`${verdict.what}: nothing to compare`);
  return `${verdict.what}: ${types}: ${count}`;
}

function answersOf(verdict, source, plain) {
  if (verdict.withoutHostBridges !== undefined) return answersOfOldKernel(verdict, source);
  const tree = new Map(plain.devices.map((device) => [device.bdf, device]));
  if (verdict.shared !== undefined)
    return sharedOf(
      verdict.shared.map((list) => list.map((name) => here(plain, name))),
      tree,
    );
  const asked =
    (verdict.pairs ?? verdict.distances ?? verdict.near)?.flatMap(([from, to]) => [from, to]) ?? tree.keys();
  const devices = [...new Set(asked)].join(',');
  const { document, stderr } = topo([source, '--devices', devices, '--json', ...(verdict.args ?? [])]);
  if (document === undefined) throw new Error(stderr);
  const byPair = new Map(document.p2p.map((answer) => [`${answer.from} ${answer.to}`, answer]));
  if (verdict.across !== undefined) {
    return document.p2p
      .filter(({ from, to }) => rootOf(tree, from) !== rootOf(tree, to))
      .map(({ from, to, type }) => ({ of: `${from} ${to}`, expected: verdict.across, got: type }));
  }
  if (verdict.near !== undefined) {
    return verdict.near.map(([from, to, near]) => ({
      of: `${from} ${to}`,
      expected: near,
      got: byPair.get(`${from} ${to}`)?.near ?? 'nothing',
    }));
  }
  return (verdict.pairs ?? verdict.distances).map(([from, to, type, distance]) => {
    const answer = byPair.get(`${from} ${to}`);
    const shown = (theType, theDistance) =>
      [theType, distance === undefined ? null : `${theDistance} hops`].filter((part) => part !== null).join(' ');
    return {
      of: `${from} ${to}`,
      expected: shown(type, distance),
      got: answer === undefined ? 'nothing' : shown(type === null ? null : answer.type, answer.distance),
    };
  });
}

/** The name that a function of the source has here. */
function here({ devices }, name) {
  return devices.find(({ label }) => label === name)?.bdf ?? name;
}

/** For each pair of devices of all lists: whether they have a bridge in common, as they have when they share a list. */
function sharedOf(lists, tree) {
  const all = lists.flat();
  const word = (shared) => (shared ? 'a common bridge' : 'none in common');
  return all.flatMap((a) =>
    all
      .filter((b) => b !== a)
      .map((b) => {
        const above = new Set(bridgesOf(tree, b));
        return {
          of: `${a} ${b}`,
          expected: word(lists.some((list) => list.includes(a) && list.includes(b))),
          got: tree.has(a) && tree.has(b) ? word(bridgesOf(tree, a).some((bdf) => above.has(bdf))) : 'no such function',
        };
      }),
  );
}

function bridgesOf(tree, bdf) {
  const above = tree.get(bdf)?.parent ?? null;
  return above === null ? [] : [above, ...bridgesOf(tree, above)];
}

function rootOf(tree, bdf) {
  return (bridgesOf(tree, bdf).at(-1) ?? bdf).slice(0, 7);
}

function answersOfOldKernel({ pairs, withoutHostBridges }, source) {
  const topology = new Topology(readMachineFile(source).description);
  const whitelist = whitelistWithout(...withoutHostBridges);
  return pairs.map(([from, to, type]) => ({
    of: `${from} ${to}`,
    expected: type,
    got: explainP2p(topology, topology.function(from), topology.function(to), { iommu: false, whitelist }).type,
  }));
}

function render() {
  const verdicts = rows.reduce((sum, { verdicts: said }) => sum + (said === '' ? 0 : said.split('<br>').length), 0);
  const compared = rows.filter(({ groups }) => /^equal|of \d/u.test(groups)).length;
  const open = rows.flatMap(({ file, problems }) => problems.map((problem) => `- \`${file}\`: ${problem}`));
  return [
    '# Listings of real machines',
    '',
    'What `dmabuf-emu topo` reads from listings of real machines, and how its answers compare with what was recorded on them.',
    'Written by `node tools/topo-table/run.mjs` from files that are not part of the repository; where they come from and what is',
    'known of them stands beside them.',
    '',
    `${rows.length} files; IOMMU groups of ${compared} compared, ${verdicts} statements about peer-to-peer traffic compared, ` +
      `${open.length} differences.`,
    '',
    '| file | functions | not told | IOMMU groups | verdicts |',
    '| --- | --- | --- | --- | --- |',
    ...rows.map(
      ({ file, read, unknowns, groups, verdicts: said }) => `| ${file} | ${read} | ${unknowns} | ${groups} | ${said} |`,
    ),
    '',
    ...(open.length === 0 ? [] : ['## Differences', '', ...open, '']),
  ].join('\n');
}
