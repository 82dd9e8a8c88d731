// A side of a comparison that cannot run yet: its package is not built, or lacks the function that the case calls.

export const NOT_WIRED_EXIT = 75;

export class NotWired extends Error {
  constructor(what) {
    super(what);
    this.name = 'NotWired';
  }
}

/**
 * Imports a built package of this repository.
 * @param {string} name folder below packages/
 * @param {string[]} exports names the case is going to use
 * @param {string} entry file below packages/<name>/
 * @throws {NotWired} when the package is not built or lacks an export
 */
export async function built(name, exports = [], entry = 'dist/index.js') {
  const url = new URL(`../../../packages/${name}/${entry}`, import.meta.url);
  let module;
  try {
    module = await import(url.href);
  } catch (error) {
    if (error.code === 'ERR_MODULE_NOT_FOUND')
      throw new NotWired(`packages/${name} is not built (${firstLine(error)})`);
    throw error;
  }
  const missing = exports.filter((e) => module[e] === undefined);
  if (missing.length > 0) throw new NotWired(`packages/${name} does not export ${missing.join(', ')}`);
  return module;
}

function firstLine(error) {
  return String(error.message)
    .split('\n')[0]
    .replace(/file:\/\/\S*\/packages\//g, 'packages/')
    .replace(/'\/\S*\/packages\//g, "'packages/");
}
