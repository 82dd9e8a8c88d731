import type { Machine, VerifyBuilder } from '@dmabuf-emu/shm';
import { FileStruct as F } from '../../fd/file-struct.ts';
import { builtinFileOps, fileTypeId } from '../../fd/file-ops.ts';
import { registerFileOps } from '../../fd/register-file-ops.ts';
import { abandonPoints, finishPoints } from './points.ts';
import { PointStruct as P, TimelineStruct as T } from './structs.ts';
import { putTimeline } from './timeline.ts';

/** Name of the kind of file. */
export const SW_SYNC_FILE = 'sw_sync';

/** @kernel sw_sync_debugfs_fops */
const SW_SYNC_FILE_OPS = builtinFileOps({
  name: SW_SYNC_FILE,
  linkText: () => '/sys/kernel/debug/sync/sw_sync',
  describe: ({ machine, priv }) => {
    const t = machine.slab(T).tryAt(priv);
    return `timeline ${t === 0 ? 'closed' : `'${machine.string(T.name.get(machine.mem, t))}'`}`;
  },
  release: ({ machine, priv }) => {
    abandonPoints(machine, machine.slab(T).at(priv));
    putTimeline(machine, priv);
  },
});

const PREPARED = Symbol('core.sw-sync');

/** Makes this thread take part in cleaning up and checking timelines, once. */
export function prepareSwSync(machine: Machine): void {
  machine.local(PREPARED, () => {
    registerFileOps(machine, SW_SYNC_FILE_OPS);
    machine.onReap('core.sw-sync', () => finishPoints(machine));
    machine.onVerify('core.sw-sync', (report) => verifyTimelines(machine, report));
    return true;
  });
}

/** Every timeline has the references that its file and its points are. */
function verifyTimelines(machine: Machine, report: VerifyBuilder): void {
  const { mem } = machine;
  const known = new Map<number, number>();
  const note = (ref: number): void => void known.set(ref, (known.get(ref) ?? 0) + 1);
  for (const ref of machine.slab(P).live()) note(P.timeline.get(mem, machine.slab(P).at(ref)));
  const type = fileTypeId(machine, SW_SYNC_FILE);
  for (const ref of machine.slab(F).live()) {
    const p = machine.slab(F).at(ref);
    if (F.type.get(mem, p) === type) note(F.priv.get(mem, p));
  }
  report.count('sync_timeline', 0);
  for (const ref of machine.slab(T).live()) {
    report.count('sync_timeline', 1);
    const t = machine.slab(T).at(ref);
    const refs = T.refs.load(mem, t);
    if (refs === (known.get(ref) ?? 0)) continue;
    const name = machine.string(T.name.get(mem, t));
    const text = `timeline '${name}' has ${refs} references, but ${known.get(ref) ?? 0} files and points`;
    if (machine.tasks().some(({ state }) => state === 'dead')) report.damage('sync_timeline', text);
    else report.error(text);
  }
}
