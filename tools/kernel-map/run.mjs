// Writes docs/kernel-map.md: which TypeScript symbol stands for which symbol of the kernel.
//
//   node tools/kernel-map/run.mjs
//
// Exits with 1, and writes all the same, when a symbol has no answer or a tag names nothing.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findProblems, readLists, renderPage } from './kernel-map.mjs';
import { scanTags } from './scan-tags.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const tags = scanTags(root);
const lists = readLists();
writeFileSync(`${root}docs/kernel-map.md`, renderPage(root, tags, lists));
const problems = findProblems(tags, lists);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
