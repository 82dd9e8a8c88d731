// node tools/pci-ids/pack.mjs PATH: packs a pci.ids file, without subsystems and remarks, into packages/pci-iommu/data/.
import { readFileSync, writeFileSync } from 'node:fs';
import { constants, gzipSync } from 'node:zlib';

const path = process.argv[2];
if (path === undefined) throw new Error('expected the path of a pci.ids file');
const lines = readFileSync(path, 'utf8').split('\n');
const version = lines.find((line) => /^#\s+Version:/u.test(line))?.replace(/^#\s+Version:\s*/u, '');
if (version === undefined) throw new Error(`${path}: no line "# Version:"`);

let classes = false;
const kept = lines.filter((line) => {
  if (line.startsWith('C ')) classes = true;
  if (line.trim() === '' || line.startsWith('#')) return false;
  return classes || !line.startsWith('\t\t');
});
const packed = gzipSync(`# ${version}\n${kept.join('\n')}\n`, { level: constants.Z_BEST_COMPRESSION });
writeFileSync(new URL('../../packages/pci-iommu/data/pci.ids.gz', import.meta.url), packed);
console.log(`pci.ids ${version}: ${kept.length} lines, ${packed.length} bytes`);
