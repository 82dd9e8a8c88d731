import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { builtinMachine, builtinMachines } from '@dmabuf-emu/pci-iommu';
import type { TopoDocument } from '#dist/topo/topo-document.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realFile, realFiles, realFilesState } from '../topo/test-real-files.ts';
import { run } from '../topo/test-run.ts';
import { schemaProblems } from '../topo/test-topo-schema.ts';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const RUN_MS = 60_000;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dmabuf-emu-topo-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function json(...args: string[]): Promise<TopoDocument> {
  const { stdout, stderr, code } = await run('topo', ...args, '--json');
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(schemaProblems(stdout)).toEqual([]);
  return JSON.parse(stdout) as TopoDocument;
}

const answer = ({ p2p }: TopoDocument, from: string, to: string): string | undefined =>
  p2p.find((pair) => pair.from === from && pair.to === to)?.type;

/** A GPU behind a root port, as lspci -v prints it. */
function lspci(extra = ''): string {
  return `00:00.0 Host bridge [0600]: Intel Corporation Device [8086:9b43]
\tFlags: bus master, fast devsel, latency 0

00:01.0 PCI bridge [0604]: Intel Corporation Device [8086:1901] (prog-if 00 [Normal decode])
\tFlags: bus master, fast devsel, latency 0, IRQ 122
\tBus: primary=00, secondary=01, subordinate=01, sec-latency=0
\tCapabilities: [a0] Express (v2) Root Port (Slot+), MSI 00

01:00.0 VGA compatible controller [0300]: NVIDIA Corporation Device [10de:2204] (prog-if 00 [VGA controller])
\tFlags: bus master, fast devsel, latency 0, IRQ 16
${extra}\tCapabilities: [78] Express (v2) Legacy Endpoint, MSI 00
`;
}

const BAD_REGION = '\tRegion 9: Memory at a0000000 (32-bit, non-prefetchable) [size=16M]\n';
const BAD_LINE = 11;

describe('usage', () => {
  test('help names every option and the exit codes', async () => {
    const { code, stdout } = await run('topo', '--help');
    expect(code).toBe(0);
    for (const name of ['iommu', 'acs-override', 'disable-acs-redir', 'config-acs', 'cpu', 'devices', 'from', 'to']) {
      expect(stdout).toContain(`--${name} `);
    }
    for (const name of ['expect-groups', 'lenient', 'svg', 'html', 'write-lspci', 'json', 'verbose']) {
      expect(stdout).toContain(`--${name}`);
    }
    expect(stdout).toContain('1 groups differ from --expect-groups');
  });

  test.each([
    [['topo', 'cray-1'], /no such file: cray-1/u],
    [['topo', 'a', 'b'], /too many arguments/u],
    [['topo', 'genoa-4gpu', '--fast'], /unknown option '--fast'/u],
    [['topo', 'genoa-4gpu', '--iommu', 'maybe'], /--iommu: expected on or off, got "maybe"/u],
    [['topo', 'genoa-4gpu', '--cpu', ':25'], /--cpu: expected a processor such as AMD:0x19, .* got ":25"/u],
    [['topo', 'genoa-4gpu', '--cpu', 'AMD:old'], /--cpu: expected a processor/u],
    [['topo', 'genoa-4gpu', '--devices', 'gpus'], /--devices: expected gpu, nic,/u],
    [['topo', 'genoa-4gpu', '--from', 'gpu0'], /expected --from and --to, both or none/u],
    [['topo', 'genoa-4gpu', '--from', 'gpu0', '--to', '98:00.0'], /--to: no function 0000:98:00\.0 in machine/u],
    [['topo', 'genoa-4gpu', '--from', 'x', '--to', 'gpu0'], /--from: expected a function such as .* got "x"/u],
    [['topo', 'genoa-4gpu', '--acs-override', '00:01.1'], /--acs-override: expected BDF=on, .* got "00:01\.1"/u],
    [['topo', 'genoa-4gpu', '--acs-override', 'x=on'], /--acs-override: expected BDF=on/u],
    [['topo', 'genoa-4gpu', '--acs-override', '98:00.0=on'], /--acs-override: no function 0000:98:00\.0/u],
    [['topo', 'genoa-4gpu', '--disable-acs-redir', 'all'], /--disable-acs-redir: expected a function such as/u],
    [['topo', 'genoa-4gpu', '--config-acs', '1@1'], /--config-acs: /u],
    [['topo', 'genoa-4gpu', '--json', '--write-lspci', '-'], /expected --json or --write-lspci -, not both/u],
    [['topo', 'genoa-4gpu', '--expect-groups', 'none.txt'], /ENOENT.*none\.txt/u],
    [['topo', 'genoa-4gpu', '--expect-groups', '.'], /EISDIR/u],
    [['topo', '/dev/null'], /no file, but a device: \/dev\/null/u],
    [['topo', 'genoa-4gpu', '--svg', 'no/such/folder.svg'], /ENOENT.*folder\.svg/u],
  ])('%j is refused with exit code 2', async (args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toContain('    at ');
  });
});

describe('sources', () => {
  test('a listing that cannot be read: file and line', async () => {
    const { code, stderr, stdout } = await run('topo', file('bad.txt', lspci(BAD_REGION)));
    expect(stderr).toMatch(new RegExp(`bad\\.txt: line ${BAD_LINE}: expected a region number from 0 to 5, got 9`, 'u'));
    expect(code).toBe(2);
    expect(stdout).toBe('');
  });

  test('--lenient leaves out what cannot be read, and says so', async () => {
    const { warnings, devices } = await json(file('bad.txt', lspci(BAD_REGION)), '--lenient');
    expect(devices).toHaveLength(3);
    expect(warnings.map(({ line }) => line)).toContain(BAD_LINE);
  });

  test('something else entirely', async () => {
    const { code, stderr } = await run('topo', file('poem.txt', 'roses are red\n'));
    expect(stderr).toMatch(/poem\.txt: line 1: expected /u);
    expect(code).toBe(2);
  });

  test('a machine description, and one with a mistake', async () => {
    const machine = builtinMachine('aurora-8ve');
    expect((await json(file('own.json', JSON.stringify(machine)))).source.format).toBe('machine');
    const { code, stderr } = await run('topo', file('bad.json', JSON.stringify({ ...machine, hostBridges: [] })));
    expect(stderr).toMatch(/bad\.json: /u);
    expect(code).toBe(2);
  });

  test(
    'stdin, with the document alone on stdout',
    () => {
      const out = spawnSync(process.execPath, [main, 'topo', '-', '--json'], {
        input: lspci(),
        encoding: 'utf8',
        timeout: RUN_MS,
      });
      expect(out.stderr).toBe('');
      expect(schemaProblems(out.stdout)).toEqual([]);
      expect((JSON.parse(out.stdout) as TopoDocument).source).toEqual({ name: 'stdin', format: 'lspci' });
      const bad = spawnSync(process.execPath, [main, 'topo', '-'], { input: 'x', encoding: 'utf8', timeout: RUN_MS });
      expect(bad.stderr).toMatch(/stdin: line 1: /u);
      expect(bad.status).toBe(2);
    },
    RUN_MS,
  );

  test(
    'whoever reads the output may stop',
    () => {
      const command = `"${process.execPath}" "${main}" topo genoa-4gpu -v | head -n 1; echo "codes \${PIPESTATUS[0]}"`;
      const out = spawnSync('bash', ['-c', command], { encoding: 'utf8', timeout: RUN_MS });
      expect(out.stderr).toBe('');
      expect(out.stdout).toMatch(/^dmabuf-emu topo: genoa-4gpu .*\ncodes 0\n$/u);
    },
    RUN_MS,
  );

  test('no file: the machine itself where it shows its devices, else what was looked for', async () => {
    const { code, stdout, stderr } = await run('topo', '--json');
    if (code === 0) expect(schemaProblems(stdout)).toEqual([]);
    else expect(stderr).toMatch(/\/sys|only Linux/u);
    expect([0, 2]).toContain(code);
  });
});

describe('--json', () => {
  test.each(builtinMachines().map(({ name }) => name))('%s: one document, all pairs both ways', async (name) => {
    const document = await json(name, '--devices', 'gpu,nic,accel');
    expect(document).toMatchObject({ schema: 'dmabuf-emu/topo@1', source: { name, format: 'machine' } });
    expect(document.devices.map(({ bdf }) => bdf)).toEqual(builtinMachine(name).functions.map(({ bdf }) => bdf));
    const asked = new Set(document.p2p.map(({ from }) => from));
    expect(document.p2p).toHaveLength(asked.size * (asked.size - 1));
  });

  test('devices: ids, parent, BARs and ACS as the source has them', async () => {
    const { devices } = await json('aurora-8ve', '--iommu', 'on');
    expect(devices.find(({ bdf }) => bdf === '0000:17:00.0')).toMatchObject({ parent: null, acsRedirects: true });
    expect(devices.find(({ bdf }) => bdf === '0000:1a:00.0')).toEqual({
      bdf: '0000:1a:00.0',
      vendor: 0x15b3,
      device: 0x1013,
      class: 0x020700,
      name: 'Mellanox MT27700 Family [ConnectX-4]',
      label: 'nic0',
      kind: 'endpoint',
      parent: '0000:19:04.0',
      numaNode: 0,
      bars: [{ index: 0, start: 0x39f000000000, size: 0x2000000, kind: 'mem64', prefetchable: true }],
      acs: null,
      acsRedirects: false,
    });
  });

  test('--devices all: every end of a path', async () => {
    const { p2p } = await json('aurora-8ve', '--devices', 'all');
    expect(p2p).toHaveLength(90);
  });

  test('--from and --to: the pair both ways; a function and itself once', async () => {
    const { p2p } = await json('genoa-4gpu', '--from', 'nic0', '--to', 'gpu0');
    expect(p2p.map(({ from, to }) => [from, to])).toEqual([
      ['0000:21:00.0', '0000:01:00.0'],
      ['0000:01:00.0', '0000:21:00.0'],
    ]);
    expect((await json('genoa-4gpu', '--from', 'nic0', '--to', 'nic0')).p2p).toMatchObject([
      { type: 'BUS_ADDR', distance: 0 },
    ]);
  });
});

describe('setup', () => {
  const [nic, ve] = ['0000:1a:00.0', '0000:1b:00.0'] as const;
  const aurora = async (...args: string[]): Promise<string | undefined> =>
    answer(await json('aurora-8ve', '--from', nic, '--to', ve, ...args), nic, ve);

  test('--iommu: on redirects at the switch, off does not', async () => {
    expect(await aurora('--iommu', 'on')).toBe('THRU_HOST_BRIDGE');
    expect(await aurora('--iommu', 'off')).toBe('BUS_ADDR');
    expect(await aurora()).toBe('BUS_ADDR');
  });

  test('without --iommu the source decides', async () => {
    expect((await json('microtca-2switch')).setup.iommu).toBe(true);
    expect((await json('genoa-4gpu')).setup.iommu).toBe(false);
    expect((await json(file('groups.txt', lspci('\tIOMMU group: 1\n')))).setup.iommu).toBe(true);
    const { stdout } = await run('topo', file('plain.txt', lspci()));
    expect(stdout).toMatch(/setup +IOMMU off \(.*\)/u);
  });

  test('--iommu off takes back what an IOMMU made the kernel set up in the source', async () => {
    const written = join(folder, 'with-iommu.json');
    const machine = builtinMachine('aurora-8ve');
    const functions = machine.functions.map((fn) =>
      fn.acs === null || fn.acs === 'unknown' ? fn : { ...fn, acs: { ...fn.acs, ctrl: fn.acs.cap & 0x1d } },
    );
    writeFileSync(written, JSON.stringify({ ...machine, functions }));
    expect(answer(await json(written), nic, ve)).toBe('THRU_HOST_BRIDGE');
    const off = await json(written, '--iommu', 'off');
    expect(answer(off, nic, ve)).toBe('BUS_ADDR');
    expect(off.devices.find(({ bdf }) => bdf === '0000:19:04.0')).toMatchObject({
      acs: { cap: 0x7f, ctrl: 0x1d },
      acsRedirects: false,
    });
    expect((await run('topo', written, '--iommu', 'off')).stdout).toContain('made the kernel set up in ACS taken back');
  });

  test('ACS control words without their capability count as well', async () => {
    const drawing = '-[0000:00]-+-01.0-[01]----00.0\n           \\-02.0-[02]----00.0\n';
    const words = '\t\tACSCtl: SrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-\n';
    const listing = file('words.txt', drawing + words);
    expect((await json(listing)).setup.iommu).toBe(true);
    const { stdout } = await run('topo', listing, '--iommu', 'off');
    expect(stdout).toContain('made the kernel set up in ACS taken back');
    expect(stdout).not.toContain('ACS redirects');
  });

  test('--disable-acs-redir clears redirects again', async () => {
    expect(await aurora('--iommu', 'on', '--disable-acs-redir', '19:04.0')).toBe('THRU_HOST_BRIDGE');
    expect(await aurora('--iommu', 'on', '--disable-acs-redir', '19:04.0;0000:19:08.0')).toBe('BUS_ADDR');
    expect(await aurora('--iommu', 'on', '--disable-acs-redir', 'pci:10b5:9797')).toBe('BUS_ADDR');
  });

  test('--config-acs sets and clears bits', async () => {
    expect(await aurora('--iommu', 'off', '--config-acs', 'xxxx1xx@0000:19:08.0')).toBe('THRU_HOST_BRIDGE');
    expect(await aurora('--iommu', 'on', '--config-acs', '0000000@pci:10b5:9797')).toBe('BUS_ADDR');
  });

  test('--acs-override: what somebody wrote after boot', async () => {
    expect(await aurora('--acs-override', '19:08.0=0c')).toBe('THRU_HOST_BRIDGE');
    expect(await aurora('--iommu', 'on', '--acs-override', '19:08.0=off, 0000:19:04.0=0x1')).toBe('BUS_ADDR');
    expect(await aurora('--acs-override', '19:04.0=on')).toBe('THRU_HOST_BRIDGE');
  });

  test('--cpu decides between host bridges', async () => {
    const [a, b] = ['0000:1a:00.0', '0000:3e:00.0'] as const;
    const skipped = { ...builtinMachine('microtca-2switch') };
    expect(skipped.cpu.vendor).toBe('Intel');
    const pair = async (...args: string[]): Promise<string | undefined> =>
      answer(
        await json('microtca-2switch', '--from', '15:00.0', '--to', '16:00.0', ...args),
        '0000:15:00.0',
        '0000:16:00.0',
      );
    expect(await pair()).toBe('NOT_SUPPORTED');
    expect(await pair('--cpu', 'amd:0x19')).toBe('THRU_HOST_BRIDGE');
    expect(await pair('--cpu', 'AMD:22')).toBe('NOT_SUPPORTED');
    expect(await pair('--cpu', 'AMD')).toBe('UNKNOWN');
    expect(answer(await json('aurora-8ve', '--from', a, '--to', b), a, b)).toBe('THRU_HOST_BRIDGE');
  });
});

describe('text', () => {
  test('the whole machine, without colours in a pipe', async () => {
    const { stdout, code } = await run('topo', 'genoa-4gpu');
    expect(code).toBe(0);
    for (const title of ['tree', 'peer-to-peer', 'IOMMU groups'])
      expect(stdout).toMatch(new RegExp(`^${title}$`, 'mu'));
    expect(stdout).not.toContain('\u001b');
  });

  test('one pair: why', async () => {
    const { stdout } = await run('topo', 'microtca-2switch', '--from', 'fpga0', '--to', 'nic0');
    expect(stdout).toContain('NIC0 0000:15:00.0 reaches the memory of FPGA0 0000:0c:00.0');
    expect(stdout).toMatch(/NOT_SUPPORTED: not supported, 8 hops/u);
    expect(stdout).toContain("host bridge 8086:5918 (0000:00) is not on the kernel's list");
    expect(stdout).toContain('the other way round: NOT_SUPPORTED too');
  });

  test('-v: every function', async () => {
    const { stdout } = await run('topo', 'wrx80-2gpu', '-v');
    expect(stdout).toContain('60:08.1');
    expect(stdout).not.toContain(' .. ');
  });
});

describe('files', () => {
  test('--svg and --html beside the text', async () => {
    const [svg, html] = [join(folder, 'm.svg'), join(folder, 'm.html')];
    const { code, stdout } = await run('topo', 'wrx80-2gpu', '--svg', svg, '--html', html);
    expect(code).toBe(0);
    expect(stdout).toContain('peer-to-peer');
    expect(readFileSync(svg, 'utf8')).toMatch(/^<\?xml .*\n<svg /u);
    expect(readFileSync(html, 'utf8')).toMatch(/^<!doctype html>/u);
  });

  test('--write-lspci: a text that reads back as the same machine', async () => {
    for (const iommu of ['on', 'off']) {
      const path = join(folder, `written-${iommu}.txt`);
      expect((await run('topo', 'wrx80-2gpu', '--iommu', iommu, '--write-lspci', path)).code).toBe(0);
      const [own, read] = [await json('wrx80-2gpu', '--iommu', iommu), await json(path, '--iommu', iommu)];
      const facts = ({ devices }: TopoDocument): unknown =>
        devices.map(({ bdf, vendor, device, class: classCode, kind, parent, bars, acs }) => ({
          bdf,
          vendor,
          device,
          classCode,
          kind,
          parent,
          bars,
          acs,
        }));
      expect(facts(read)).toEqual(facts(own));
      expect(read.groups.map(({ devices }) => devices)).toEqual(own.groups.map(({ devices }) => devices));
      const types = ({ p2p }: TopoDocument): unknown => p2p.map(({ from, to, distance }) => [from, to, distance]);
      expect(types(read)).toEqual(types(own));
    }
    const plain = await run('topo', 'wrx80-2gpu', '--write-lspci', '-');
    expect(plain.stdout).toMatch(/^0000:00:00\.0 Host bridge \[0600\]: /u);
    expect(plain.stdout).toContain('IOMMU group: ');
    expect(plain.stdout).not.toContain('peer-to-peer');
  });

  test('nothing is left behind when the input is bad', async () => {
    const svg = join(folder, 'never.svg');
    expect((await run('topo', 'genoa-4gpu', '--devices', 'x', '--svg', svg)).code).toBe(2);
    expect((await run('topo', 'genoa-4gpu', '--expect-groups', 'none', '--svg', svg)).code).toBe(2);
    expect(existsSync(svg)).toBe(false);
  });
});

describe('--expect-groups', () => {
  async function listing(): Promise<string> {
    const { groups } = await json('wrx80-2gpu');
    return groups
      .flatMap(({ id, devices }) => [`IOMMU Group ${id}:`, ...devices.map((bdf) => `\t${bdf} x`)])
      .join('\n');
  }

  test('equal: exit code 0', async () => {
    const path = file('same.txt', await listing());
    const { code, stdout } = await run('topo', 'wrx80-2gpu', '--expect-groups', path);
    expect(stdout).toMatch(/73 of 73 groups of .*same\.txt are the same here/u);
    expect(code).toBe(0);
  });

  test('different: where and why, exit code 1; the same in the document', async () => {
    const text = (await listing()).replace('IOMMU Group 1:\n', '');
    const path = file('differ.txt', text);
    const { code, stdout } = await run('topo', 'wrx80-2gpu', '--expect-groups', path);
    expect(stdout).toMatch(
      /71 of 72 groups of .* are the same here\n\nseveral groups here, one in the listing\n {2}listed +0: /u,
    );
    expect(stdout).toMatch(/\n {2}here .*\n {2}here .*\n {2}why /u);
    expect(code).toBe(1);
    const document = await run('topo', 'wrx80-2gpu', '--expect-groups', path, '--json');
    expect(document.code).toBe(1);
    expect((JSON.parse(document.stdout) as TopoDocument).groupComparison).toMatchObject({
      listed: 72,
      equal: 71,
      differences: [{ kind: 'parted' }],
    });
  });

  test('a file without groups: exit code 2, with the line', async () => {
    const { code, stderr } = await run('topo', 'wrx80-2gpu', '--expect-groups', file('no.txt', 'nothing\n'));
    expect(stderr).toMatch(/no\.txt: line 1: expected IOMMU groups/u);
    expect(code).toBe(2);
  });
});

describe(`real files ${realFilesState}`, () => {
  test('the listings are where they are looked for', () => {
    expect(realFiles.length > 0).toBe(realFilesState === 'present');
  });

  test.each(realFiles.map((path) => [basename(path), path] as const))(
    '%s: a valid document, or refused',
    async (name, path) => {
      const { code, stdout, stderr } = await run('topo', path, '--json', '--lenient');
      if (code === 0) {
        expect(schemaProblems(stdout)).toEqual([]);
      } else {
        expect(name).toMatch(/^p2p-verdict/u);
        expect(stderr).toMatch(/: line \d+: expected /u);
        expect(code).toBe(2);
      }
    },
  );

  test.skipIf(realFiles.length === 0)('320 functions are read and shown', async () => {
    const path = realFile('pci/intel-icelake-sp-2s-dell-connectx5.lspci-vvv.txt');
    const { stdout } = await run('topo', path);
    expect(stdout).toContain('320 functions');
    expect(stdout.split('\n').length).toBeLessThan(120);
  });
});
