// Assembles packages/shm/src/memory/core.wat into wasm-bytes.ts. Run after editing the .wat: node tools/wasm/assemble.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const folder = new URL('../../packages/shm/src/memory/', import.meta.url);
const features = { threads: true, bulk_memory: true };
const module = (await wabt()).parseWat('core.wat', readFileSync(new URL('core.wat', folder), 'utf8'), features);
const { buffer } = module.toBinary({});
const base64 = Buffer.from(buffer).toString('base64');
writeFileSync(
  new URL('wasm-bytes.ts', folder),
  `// Made by tools/wasm/assemble.mjs from core.wat (${buffer.length} bytes). Do not edit.\nexport const WASM_BASE64 =\n  '${base64}';\n`,
);
