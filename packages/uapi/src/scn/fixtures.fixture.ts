/** Folder with the scenario files, and what kernels answered to them. */
export const fixtures = new URL('../../fixtures/', import.meta.url);

/** Results files in {@link fixtures}. */
export const recordings = ['linux-7.3.4.jsonl.gz', 'linux-6.12.107.jsonl.gz'];
