import {
  bufinfo,
  CORE_QUIRKS,
  defineFenceOps,
  defineImporter,
  Fence,
  FenceArray,
  fenceContextAlloc,
  OpenFlags,
  Resv,
  ResvUsage,
} from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { KERNELS } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { device, exported, recorder } from './dma-buf/recorder.fixture.ts';

const ops = defineFenceOps({
  name: 'named',
  getDriverName: () => 'my-driver',
  getTimelineName: (fence) => `line-${fence.context}`,
});
const keeping = defineFenceOps({ ...ops, name: 'keeping', release: () => {} });

describe('quirks of kernels (core §0.2, §8.3)', () => {
  it('each say what they are and which kernels have them', () => {
    for (const [name, quirk] of Object.entries(CORE_QUIRKS.quirks)) {
      expect(name).toMatch(/^(core|fence|resv)\.\w+$/);
      expect(`${quirk.what} ${quirk.why}`.length).toBeGreaterThan(30);
      expect(KERNELS).toEqual(expect.arrayContaining([...quirk.kernels]));
      expect(quirk.kernels).not.toContain('7.1');
    }
  });

  it.each([
    ['7.1', '4:2 line-4 my-driver unsignalled\n', '4:2   signalled\n'],
    ['7.3', '4:2 line-4 my-driver unsignalled\n', '4:2   signalled\n'],
    ['7.1-rc2', '4:2 my-driver my-driver unsignalled\n', '4:2   signalled\n'],
    ['6.12', 'my-driver line-4 seq 2 unsignalled\n', 'my-driver line-4 seq 2 signalled\n'],
  ] as const)('describe fences as %s does', (kernel, before, after) => {
    using machine = testMachine({ kernel });
    const f = mockFence(machine, 4, 2, ops);
    expect(f.describe()).toBe(before);
    f.signalUnowned();
    expect(f.describe()).toBe(after);
    f.put();
  });

  it.each([
    ['7.1', ops, ['detached-driver', 'signaled-timeline']],
    ['7.3', keeping, ['detached-driver', 'signaled-timeline']],
    ['6.19', ops, ['detached-driver', 'signaled-timeline']],
    ['6.12', ops, ['my-driver', 'line-4']],
    ['6.12', keeping, ['my-driver', 'line-4']],
  ] as const)('name signalled fences as %s does', (kernel, driver, names) => {
    using machine = testMachine({ kernel });
    const f = mockFence(machine, 4, 2, driver);
    f.signalUnowned();
    expect([f.driverName(), f.timelineName()]).toEqual(names);
    f.put();
    const stub = Fence.stub(machine);
    expect(stub.driverName()).toBe(kernel === '6.12' ? 'stub' : 'detached-driver');
    stub.put();
  });

  it.each([
    ['7.1', false],
    ['7.0', true],
  ] as const)('detach drivers as %s does', (kernel, stays) => {
    using machine = testMachine({ kernel });
    const f = mockFence(machine, 4, 2, ops);
    f.signalUnowned();
    expect(f.hasOps).toBe(stays);
    f.put();
  });

  it.each([
    ['7.1', true],
    ['7.3', false],
  ] as const)('end arrays with any member as far as %s can', (kernel, ended) => {
    using machine = testMachine({ kernel });
    const fences = [1, 2].map(() => mockFence(machine, fenceContextAlloc(machine), 1));
    const { fence: array } = FenceArray.create(
      machine,
      fences.map((f) => f.get()),
      { signalOnAny: true },
    );
    array.enableSignaling();
    fences[0]!.signalUnowned();
    expect(array.signaledFlag()).toBe(ended);
    fences[1]!.signalUnowned();
    expect(array.signaledFlag()).toBe(true);
    for (const fence of [array, ...fences]) fence.put();
  });

  it('walk for ever over a list that was replaced by none, with the defect', () => {
    const walk = (quirks: string[]): number => {
      using machine = testMachine({ quirks });
      const [resv, empty, f] = [Resv.create(machine), Resv.create(machine), mockFence(machine)];
      resv.with(() => {
        resv.reserveFences(1);
        resv.addFence(f, ResvUsage.READ);
      });
      const cursor = resv.unlocked(ResvUsage.READ);
      let visits = 0;
      for (const fence of cursor) {
        expect(fence.ref).toBe(f.ref);
        if (++visits === 1) resv.with(() => resv.copyFences(empty));
        if (visits === 10) break;
      }
      for (const object of [resv, empty]) object.destroy();
      f.put();
      return visits;
    };
    expect([walk([]), walk(['resv.endlessWalk'])]).toEqual([1, 10]);
  });

  it.each([
    ['7.1', undefined],
    ['7.0', 'EINVAL'],
  ] as const)('attach importers without a callback as %s does', (kernel, code) => {
    using machine = testMachine({ kernel });
    if (code !== undefined) machine.diag.expect('warn', 'dma_buf_dynamic_attach');
    const importer = defineImporter({ name: 'no-callback', allowPeer2Peer: true });
    const dmabuf = exported(machine, recorder());
    let error: unknown;
    try {
      dmabuf.detach(dmabuf.attachDynamic(device(machine), importer));
    } catch (thrown) {
      error = (thrown as { code: string }).code;
    }
    expect(error).toBe(code);
    dmabuf.put();
  });

  it.each([
    ['7.3', '02080007'],
    ['6.12', '00080007'],
  ] as const)('show the mode of files as %s does', (kernel, mode) => {
    using machine = testMachine({ kernel });
    const dmabuf = exported(machine, recorder(), { flags: OpenFlags.RDWR });
    expect(bufinfo(machine)).toContain(`\t${mode}\t`);
    dmabuf.put();
  });
});
