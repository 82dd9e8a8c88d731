import type { DrmFile } from '@dmabuf-emu/exporter-heap';
import { propertyRuns, propertyTimeoutMs } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { answer, BOTH, drmRig, type DrmRig, SMALL } from '../drm.fixture.ts';
import { PrimeModel } from './prime.model.fixture.ts';

const DEVICES = ['vgem', 'vgem', 'vkms'] as const;

const file = fc.nat(DEVICES.length - 1);
/** Names are of one device. */
const vgem = fc.nat(1);
const handle = fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 3 }) }, { weight: 1, arbitrary: fc.nat(7) });
const act = fc.oneof(
  fc.record({ do: fc.constant('create' as const), file }),
  fc.record({ do: fc.constant('create' as const), file }),
  fc.record({ do: fc.constant('close' as const), file, handle }),
  fc.record({ do: fc.constant('export' as const), file, handle }),
  fc.record({ do: fc.constant('import' as const), file, fd: fc.nat(20) }),
  fc.record({ do: fc.constant('close fd' as const), fd: fc.nat(20) }),
  fc.record({ do: fc.constant('name' as const), file: vgem, handle, to: vgem }),
  fc.record({ do: fc.constant('move' as const), file, handle, target: fc.integer({ min: 1, max: 12 }) }),
);
type Act = typeof act extends fc.Arbitrary<infer A> ? A : never;

/** Both worlds, which have to agree. */
class Twins {
  readonly rig: DrmRig;
  readonly drm: readonly DrmFile[];
  readonly model = new PrimeModel(DEVICES);
  readonly fds: number[] = [];

  constructor(rig: DrmRig) {
    this.rig = rig;
    this.drm = DEVICES.map((driver) => rig.open(driver));
  }

  /** What each world answers, in the same terms. */
  run(one: Act): [real: unknown, model: unknown] {
    const { drm, model, fds, rig } = this;
    switch (one.do) {
      case 'create':
        return [drm[one.file]!.createDumb(SMALL).handle, model.create(one.file)];
      case 'close':
        return [answer(() => drm[one.file]!.gemClose(one.handle)), model.close(one.file, one.handle)];
      case 'export': {
        const real = answer(() => drm[one.file]!.primeHandleToFd(one.handle, BOTH));
        if (typeof real === 'number') fds.push(real);
        return [typeof real === 'number' ? fds.length - 1 : real, model.export(one.file, one.handle)];
      }
      case 'import': {
        if (fds.length === 0) return [0, 0];
        const fd = one.fd % fds.length;
        return [answer(() => drm[one.file]!.primeFdToHandle(fds[fd]!)), model.import(one.file, fd)];
      }
      case 'close fd': {
        if (fds.length === 0) return [0, 0];
        const fd = one.fd % fds.length;
        model.fds.splice(fd, 1);
        return [rig.fds.close(fds.splice(fd, 1)[0]!), undefined];
      }
      case 'name': {
        const real = answer(() => drm[one.to]!.gemOpen(drm[one.file]!.gemFlink(one.handle)).handle);
        return [real, model.name(one.file, one.handle, one.to)];
      }
      case 'move': {
        const real = answer(() => drm[one.file]!.gemChangeHandle(one.handle, one.target));
        return [real, model.move(one.file, one.handle, one.target)];
      }
    }
  }

  counts(): [real: number[], model: number[]] {
    return [this.fds.map((fd) => this.rig.count(fd)), this.fds.map((_, i) => this.model.count(i))];
  }
}

it(
  'handles, names, descriptors and counts of references are those of the model',
  { timeout: propertyTimeoutMs(120_000) },
  () => {
    const seen: Record<string, number> = {};
    fc.assert(
      fc.property(fc.array(act, { minLength: 10, maxLength: 60 }), (acts) => {
        using rig = drmRig();
        const twins = new Twins(rig);
        for (const one of acts) {
          const [real, model] = twins.run(one);
          expect(real, JSON.stringify(one)).toEqual(model);
          const [counted, known] = twins.counts();
          expect(counted, JSON.stringify(one)).toEqual(known);
          const what = typeof model === 'string' ? `${one.do} ${model}` : one.do;
          seen[what] = (seen[what] ?? 0) + 1;
        }
        expect(rig.machine.verify().errors).toEqual([]);
      }),
      { numRuns: propertyRuns(60) },
    );
    const rare = ['export', 'import', 'close', 'name', 'move', 'close EINVAL', 'export ENOENT', 'name ENOENT'];
    expect(rare.filter((what) => !(seen[what]! > 0))).toEqual([]);
  },
);
