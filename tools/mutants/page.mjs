// docs/mutants*.md: which test noticed which mutant of a package.

/** @param caughtBy the first test that failed, by the mutant's name; null for none */
export function renderPage(set, folder, mutants, caughtBy) {
  const caught = mutants.filter(({ name }) => caughtBy[name] !== null);
  return [
    `# Mutants of ${folder}`,
    '',
    `Each breaks one promise of \`packages/${folder}\` by a single edit; the tests must notice. Written by`,
    `\`node tools/mutants/run.mjs --set ${set}\`, which makes the edits and runs the tests; the edits stand in`,
    `\`tools/mutants/${set}-mutants.mjs\`.`,
    '',
    `${caught.length} of ${mutants.length} mutants are caught.`,
    '',
    '| mutant | in | caught by |',
    '| --- | --- | --- |',
    ...mutants.map(
      ({ name, what, file }) =>
        `| ${what} | [${file.replace(`packages/${folder}/src/`, '')}](../${file}) | ${test(caughtBy[name])} |`,
    ),
    '',
  ].join('\n');
}

/** A test as vitest names it, without its package and what stands in brackets after a describe's name. */
function test(name) {
  if (name === null) return '**nothing**';
  return name
    .replace(/^.*?src\//, '')
    .replaceAll(/ \((?:core|drivers|OBSERVED)[^)]*\)/g, '')
    .replaceAll('|', '\\|');
}
