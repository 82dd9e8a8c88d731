// Assembles the .wat files of the packages into .ts files beside them. Run after editing one: node tools/wasm/assemble.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import wabt from 'wabt';

const MODULES = [
  { source: 'packages/shm/src/memory/core.wat', into: 'wasm-bytes.ts', name: 'WASM_BASE64' },
  { source: 'packages/pci-iommu/src/dma/walk.wat', into: 'walk-bytes.ts', name: 'WALK_BASE64' },
];
const root = new URL('../../', import.meta.url);
const features = { threads: true, bulk_memory: true };
const assembler = await wabt();
for (const { source, into, name } of MODULES) {
  const url = new URL(source, root);
  const file = path.posix.basename(source);
  const { buffer } = assembler.parseWat(file, readFileSync(url, 'utf8'), features).toBinary({});
  const base64 = Buffer.from(buffer).toString('base64');
  writeFileSync(
    new URL(into, url),
    `// Made by tools/wasm/assemble.mjs from ${file} (${buffer.length} bytes). Do not edit.\nexport const ${name} =\n  '${base64}';\n`,
  );
}
