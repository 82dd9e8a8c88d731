import { type Machine, taskIsDead, type VerifyBuilder } from '@dmabuf-emu/shm';
import { countHeld, registerHolder } from './holders.ts';
import { isHeadPage, pageRefs } from './page.ts';
import { PageList, PageListStruct as L } from './page-list.ts';
import { PageStruct as P } from './page-struct.ts';
import { Shmem } from './shmem.ts';
import { ShmemStruct as S } from './shmem-struct.ts';

/** Makes files in memory and lists of pages known as holders of pages. */
export function registerPageHolders(machine: Machine): void {
  registerHolder(machine, 'page', 'shmem', function* () {
    for (const ref of machine.slab(S).live()) {
      for (const [, page] of new Shmem(machine, ref).tree.entries()) if (isHeadPage(machine, page)) yield page;
    }
  });
  registerHolder(machine, 'page', 'list', function* () {
    for (const ref of machine.slab(L).live()) yield* new PageList(machine, ref).held();
  });
}

/** Proves on a quiet machine that every reference to a page and to a file in memory has a holder. */
export function verifyMemory(machine: Machine, report: VerifyBuilder): void {
  const deaths = machine.tasks().some(({ state }) => state === 'dead');
  verifyPages(machine, report, deaths);
  verifyShmem(machine, report, deaths);
  report.count('page_list', [...machine.slab(L).live()].length);
}

function verifyPages(machine: Machine, report: VerifyBuilder, deaths: boolean): void {
  const held = countHeld(machine, 'page');
  report.count('page', 0);
  for (const page of machine.slab(P).live()) {
    report.count('page', 1);
    if (!isHeadPage(machine, page)) continue;
    const refs = pageRefs(machine, page);
    compare(report, deaths, `page ${page}`, refs, held.get(page) ?? 0);
  }
}

function verifyShmem(machine: Machine, report: VerifyBuilder, deaths: boolean): void {
  const held = countHeld(machine, 'shmem');
  const slab = machine.slab(S);
  report.count('shmem', 0);
  for (const ref of slab.live()) {
    report.count('shmem', 1);
    const shmem = new Shmem(machine, ref);
    const refs = S.refs.load(machine.mem, shmem.p);
    const owner = slab.ownerOf(ref, S.ownerTask.get(machine.mem, shmem.p));
    const dead = deaths || taskIsDead(machine, owner);
    compare(report, dead, `file '${shmem.label}' in memory`, refs, held.get(ref) ?? 0);
    const pages = [...shmem.tree.entries()].length;
    if (pages !== shmem.pages) {
      const text = `file '${shmem.label}' in memory has ${pages} pages, but ${shmem.pages} are counted`;
      if (dead) report.damage('shmem', text);
      else report.error(text);
    }
  }
}

/** A reference more than there are holders is a leak, one less an error; what a dead task may have left is damage. */
function compare(report: VerifyBuilder, dead: boolean, what: string, refs: number, held: number): void {
  if (refs === held) return;
  const text = `${what} has ${refs} references, but ${held} holders`;
  if (dead) report.damage('memory', text);
  else if (refs > held) report.leak('memory', text);
  else report.error(text);
}
