import { attachmentOf, Device, DmaBuf, registerDrivers, SgTable, SignalRight } from '@dmabuf-emu/core';
import { isKernelError, type Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { testFences } from './fences.test-worker.ts';
import {
  mapObedient,
  obedientImporter,
  revocableExporter,
  revocableOf,
  stubbornImporter,
} from './revocable-exporter.test-worker.ts';

interface Args {
  readonly job: 'revoke' | 'end-fence' | 'unmap-after' | 'await-rule' | 'churn';
  readonly dmabuf: number;
  readonly fence: number;
  readonly rule: string;
  readonly attachment: number;
  readonly table: number;
  readonly rounds: number;
  readonly n: number;
  readonly strange?: boolean;
}

await runTestWorker<Args, unknown>((machine, args) => {
  registerDrivers(machine, [revocableExporter, obedientImporter, stubbornImporter]);
  if (args.strange !== true) registerDrivers(machine, [testFences]);
  switch (args.job) {
    case 'revoke': {
      const dmabuf = DmaBuf.of(machine, args.dmabuf);
      return revocableOf(dmabuf).revoke(dmabuf);
    }
    case 'end-fence': {
      const right = SignalRight.adopt(machine, args.fence);
      awaitRule(machine, args.rule);
      right.signal();
      return right.drop();
    }
    case 'unmap-after': {
      awaitRule(machine, args.rule);
      return attachmentOf(machine, args.attachment).unmapUnlocked(SgTable.of(machine, args.table), 0);
    }
    case 'await-rule':
      return awaitRule(machine, args.rule);
    case 'churn':
      return churn(machine, args);
  }
});

/** Polls until somebody broke `rule`; a test's own time limit ends it. */
function awaitRule(machine: Machine, rule: string): void {
  const cell = machine.root('test.nap', 16);
  for (let i = 0; i < 10_000 && !machine.diag.records().some((r) => r.code === rule); i++) {
    machine.wait(cell, 0, 'test.nap', 1);
  }
}

/** Attaches, maps, unmaps and detaches, whatever the revoker does meanwhile. */
function churn(machine: Machine, { dmabuf: ref, rounds, n }: Args): { maps: number; refused: number } {
  const device = Device.register(machine, { name: `churn${n}`, kind: 'platform' });
  const dmabuf = DmaBuf.of(machine, ref);
  const counts = { maps: 0, refused: 0 };
  const refusable = (fn: () => void): void => {
    try {
      fn();
    } catch (error) {
      if (!isKernelError(error, 'ENODEV')) throw error;
      counts.refused++;
    }
  };
  for (let round = 0; round < rounds; round++) {
    refusable(() => {
      const attachment = dmabuf.attachDynamic(device, obedientImporter);
      refusable(() =>
        dmabuf.resv.with(() => {
          mapObedient(machine, attachment.ref);
          counts.maps++;
        }),
      );
      dmabuf.resv.with(() => obedientImporter.invalidateMappings!(attachment));
      dmabuf.detach(attachment);
    });
  }
  return counts;
}
