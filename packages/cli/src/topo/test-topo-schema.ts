import type { TopoDocument } from '#dist/topo/topo-document.js';

const BDF = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/u;
const TYPES = ['BUS_ADDR', 'THRU_HOST_BRIDGE', 'NOT_SUPPORTED', 'UNKNOWN'];
const NEAR = ['X', 'PIX', 'PXB', 'PHB', 'NODE', 'SYS', 'unknown'];
const FORMATS = ['lspci', 'lspci-tree', 'sysfs', 'nccl-xml', 'machine', 'group-listing', 'boot-log'];

/** What is wrong with a document of `topo --json`, one sentence each. */
export function schemaProblems(text: string): readonly string[] {
  const problems: string[] = [];
  const check = (ok: boolean, problem: string): void => void (ok || problems.push(problem));
  const document = JSON.parse(text) as TopoDocument;
  check(document.schema === 'dmabuf-emu/topo@1', `schema is ${document.schema}`);
  check(typeof document.source.name === 'string', 'source has no name');
  check(FORMATS.includes(document.source.format), `source has format ${document.source.format}`);
  check(typeof document.setup.iommu === 'boolean', 'setup has no iommu');
  const names = new Set(document.devices.map(({ bdf }) => bdf));
  check(names.size === document.devices.length, 'a device stands there twice');
  const known = (bdf: string, where: string): void =>
    check(names.has(bdf), `${where} names ${bdf}, which is no device`);
  for (const device of document.devices) {
    const { bdf, vendor, device: id, class: classCode, kind, parent, bars, acs, acsRedirects, name, numaNode } = device;
    check(BDF.test(bdf), `${bdf} is no name of a function`);
    for (const value of [vendor, id, classCode, numaNode]) {
      check(value === null || (Number.isInteger(value) && value >= 0), `${bdf}: ${value} is no number`);
    }
    check(typeof kind === 'string' && typeof name === 'string' && name !== '', `${bdf}: kind or name is missing`);
    if (parent !== null) known(parent, `parent of ${bdf}`);
    check(acs === null || acs === 'unknown' || (acs.cap >= 0 && acs.ctrl >= 0), `${bdf}: acs is not right`);
    check(acsRedirects === null || typeof acsRedirects === 'boolean', `${bdf}: acsRedirects is not right`);
    for (const bar of bars) check(bar.index >= 0 && bar.index < 6 && bar.size >= 0, `${bdf}: a BAR is not right`);
  }
  const grouped = new Set<string>();
  for (const { id, devices, restsOn } of document.groups) {
    check(Number.isInteger(id) && devices.length > 0, `group ${id} is empty`);
    for (const bdf of devices) {
      known(bdf, `group ${id}`);
      check(!grouped.has(bdf), `${bdf} is in two groups`);
      grouped.add(bdf);
    }
    for (const what of restsOn) check(what.length > 0, `group ${id} rests on nothing`);
  }
  const pairs = new Set(document.p2p.map(({ from, to }) => `${from} ${to}`));
  check(pairs.size === document.p2p.length, 'a pair stands there twice');
  for (const { from, to, type, distance, near, because } of document.p2p) {
    known(from, 'p2p');
    known(to, 'p2p');
    check(pairs.has(`${to} ${from}`), `${from} ${to} is there one way only`);
    check(TYPES.includes(type), `${from} ${to} has type ${type}`);
    check(Number.isInteger(distance) && distance >= 0, `${from} ${to} has distance ${distance}`);
    check(NEAR.includes(near), `${from} ${to} is ${near}`);
    check(because.length > 0, `${from} ${to} has no reason`);
  }
  for (const { bdf, what, text: said } of document.unknowns) {
    check(bdf === null || BDF.test(bdf), `unknown of ${bdf}`);
    check(what.length > 0 && said.length > 0, 'an unknown says nothing');
  }
  for (const { line, text: said } of document.warnings) {
    check(line === null || Number.isInteger(line), `warning at line ${line}`);
    check(said.length > 0, 'a warning says nothing');
  }
  return problems;
}
