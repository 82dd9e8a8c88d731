// docs/mutants.md: which test noticed which mutant of packages/core.

/** @param caughtBy the first test that failed, by the mutant's name; null for none */
export function renderPage(mutants, caughtBy) {
  const caught = mutants.filter(({ name }) => caughtBy[name] !== null);
  return [
    '# Mutants of core',
    '',
    'Each breaks one promise of `packages/core` by a single edit; the tests must notice. Written by',
    '`node tools/mutants/run.mjs --set core`, which makes the edits and runs the tests; the edits stand in',
    '`tools/mutants/core-mutants.mjs`.',
    '',
    `${caught.length} of ${mutants.length} mutants are caught.`,
    '',
    '| mutant | in | caught by |',
    '| --- | --- | --- |',
    ...mutants.map(({ name, what, file }) => `| ${what} | [${short(file)}](../${file}) | ${test(caughtBy[name])} |`),
    '',
  ].join('\n');
}

function short(file) {
  return file.replace('packages/core/src/', '');
}

/** A test as vitest names it, without its package and what stands in brackets after a describe's name. */
function test(name) {
  if (name === null) return '**nothing**';
  return name
    .replace(/^.*?src\//, '')
    .replaceAll(/ \((?:core|drivers|OBSERVED)[^)]*\)/g, '')
    .replaceAll('|', '\\|');
}
