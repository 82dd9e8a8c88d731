// No operation may slow with the number of live objects that it has nothing to do with.
import { goal, ours } from '../lib/define.mjs';

const ATMOST = { atMost: 1.2 };
const label = (count) => (count < 1_000_000 ? `${count / 1000}K` : `${count / 1_000_000}M`);

/** One table: `counts` of `what`, each compared with the fewest. */
function besideOthers({ id, what, run, counts, metrics }) {
  const name = (count) => `${label(count)} ${what}`;
  const [fewest, ...more] = counts;
  return {
    id,
    title: `operations beside unrelated live ${what}`,
    package: 'core',
    goals: ['scale'],
    threads: 1,
    reference: name(fewest),
    cases: counts.map((count) => ours(name(count), 'scale', run, { count })),
    verdicts: more.flatMap((count) =>
      metrics.map((metric) =>
        goal(
          'scale',
          `${metric.replace('_ns', '')}, ${label(count)} / ${label(fewest)} ${what}`,
          name(count),
          name(fewest),
          metric,
          ATMOST,
        ),
      ),
    ),
  };
}

const OPERATIONS = ['fence_ns', 'resv_ns', 'attach_ns', 'export_ns', 'poll_ns', 'merge_ns'];

export const tables = [
  besideOthers({
    id: 'scale-fences',
    what: 'fences',
    run: 'besideFences',
    counts: [1000, 100_000, 1_000_000],
    metrics: OPERATIONS,
  }),
  besideOthers({
    id: 'scale-buffers',
    what: 'dma-bufs with two attachments',
    run: 'besideBuffers',
    counts: [1000, 100_000],
    metrics: OPERATIONS,
  }),
  besideOthers({
    id: 'scale-descriptors',
    what: 'descriptors of the process',
    run: 'besideDescriptors',
    counts: [1000, 100_000],
    metrics: ['open_close_ns', 'get_put_ns', 'reopen_ns'],
  }),
];
