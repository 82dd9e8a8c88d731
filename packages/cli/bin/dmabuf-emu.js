#!/usr/bin/env node
// Stands in the sources, so that installing can link the command before anything is built.
import { existsSync } from 'node:fs';

const main = new URL('../dist/main.js', import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write('dmabuf-emu is not built yet: run `npm run build` first\n');
  process.exitCode = 2;
}
