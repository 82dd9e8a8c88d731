import { checkScenario, parseScn, runScenarios, type ScenarioResult, ScnError } from '@dmabuf-emu/uapi';
import { describe, expect, test } from 'vitest';

const LIMIT_MS = 60_000;
const CHOICE = { kernel: '7.1', quirks: [], jobs: 1 } as const;

async function run(text: string, limitMs = 20_000): Promise<ScenarioResult[]> {
  return runScenarios(parseScn(text, 'x.scn'), { ...CHOICE, limitMs });
}

const answers = ({ steps }: ScenarioResult): unknown[] => steps.map(({ answer }) => answer);

test(
  'each scenario is a program of its own, with descriptors from 3 on',
  async () => {
    const [first, second] = await run(`
scenario a
m = memfd size=1P seals=SHRINK
eq a=$m b=3
rlimit what=NOFILE value=4
dup fd=$m
scenario b
m = memfd
eq a=$m b=3
close fd=$m
close fd=$m`);
    expect(answers(first!)).toEqual([{ ret: 'fd' }, { ret: 0, equal: true }, { ret: 0 }, { ret: -1, errno: 'EMFILE' }]);
    expect(answers(second!)).toEqual([{ ret: 'fd' }, { ret: 0, equal: true }, { ret: 0 }, { ret: -1, errno: 'EBADF' }]);
    expect([first!.kmsg, second!.kmsg]).toEqual([[], []]);
  },
  LIMIT_MS,
);

test(
  'background steps run in threads, and join tells whether they were blocked',
  async () => {
    const [result] = await run(`
scenario a
e = eventfd
w = bg poll fd=$e events=IN timeout=3000
v = bg poll fd=$e events=OUT timeout=3000
pwrite fd=$e hex=0100000000000000
join name=w
join name=v`);
    expect(answers(result!).slice(1)).toEqual([
      {},
      {},
      { ret: 8 },
      { ret: 1, revents: 'IN', blocked: true },
      { ret: 1, revents: 'OUT', blocked: false },
    ]);
    expect(result!.kmsg).toEqual([]);
  },
  LIMIT_MS,
);

test(
  'a background step that nobody joins ends with the program',
  async () => {
    const [first, second] = await run(`
scenario a
e = eventfd
w = bg poll fd=$e events=IN timeout=-1
scenario b
m = memfd`);
    expect(first).toMatchObject({ died: '', kmsg: [] });
    expect(second).toMatchObject({ died: '', kmsg: [] });
  },
  LIMIT_MS,
);

test(
  'a program that does not end in time has died of it, and the next one runs',
  async () => {
    const text = 'scenario a\ne = eventfd\npoll fd=$e timeout=-1\nscenario b\nm = memfd';
    const [first, second] = await run(text, 2000);
    expect(first).toMatchObject({ id: 'a', died: 'timeout' });
    expect(first!.steps).toHaveLength(1);
    expect(answers(second!)).toEqual([{ ret: 'fd' }]);
  },
  LIMIT_MS,
);

test(
  'a scenario whose path is missing is skipped, one about other subsystems says so',
  async () => {
    const [first, second] = await run(`
scenario a
needs /dev/vfio/devices/vfio0
m = memfd
scenario b
i = open path=/dev/iommu
a = ioas_alloc fd=$i`);
    expect(first).toMatchObject({ skipped: '/dev/vfio/devices/vfio0', steps: [] });
    expect(answers(second!)).toEqual([{ ret: -1, errno: 'ENOENT' }, { unsupported: true }]);
  },
  LIMIT_MS,
);

test(
  'mappings: peek, poke, signals, maps',
  async () => {
    const [result] = await run(`
scenario a
m = memfd name="x y" size=2P
p = mmap fd=$m len=4P
poke map=$p off=4090 len=8 byte=7
peek map=$p off=4088 len=4
peek map=$p off=2P
munmap map=$p len=1P
peek map=$p
q = mmap fd=$m len=1P prot=PROT_READ flags=MAP_PRIVATE
poke map=$q
maps map=$q`);
    expect(answers(result!).slice(2)).toEqual([
      { ret: 0 },
      { ret: 0, hex: '00000707' },
      { ret: -1, signal: 'SIGBUS' },
      { ret: 0 },
      { ret: -1, signal: 'SIGSEGV' },
      { ret: 'addr' },
      { ret: -1, signal: 'SIGSEGV' },
      { ret: 0, perms: 'r--p', len: 4096, off: '00000000', name: '/memfd:x y (deleted)', vmflags: 'rd mr mw me' },
    ]);
  },
  LIMIT_MS,
);

describe('what is malformed is found before anything runs', () => {
  test.each([
    ['scenario a\nopne path=/dev/null', 2, "expected an operation (did you mean open?), got 'opne'"],
    ['scenario a\nopen', 2, 'expected path='],
    ['scenario a\nclose fd=1 force=1', 2, 'expected fd; got force='],
    ['scenario a\nclose fd=RDWRX', 2, "expected a number, a $variable or a symbol such as RDWR or U32MAX, got 'RDWRX'"],
    ['scenario a\nm = memfd\nclose fd=$n', 3, 'expected fd= to use variables of earlier steps, got $n'],
    ['scenario a\npwrite fd=1 hex=zz', 2, "expected hex= to be bytes in hex, got 'zz'"],
    ['scenario a\njoin name=w', 2, "expected name= of a bg step that is not joined yet, got 'w'"],
    ['scenario a\npollmany fds=1,$x', 2, 'expected fds= to use variables'],
  ])('%j', (text, line, message) => {
    const [scenario] = parseScn(text, 'x.scn');
    const check = (): void => checkScenario(scenario!);
    expect(check).toThrow(ScnError);
    expect(check).toThrow(message);
    expect(check).toThrow(`x.scn: line ${line}: a: `);
  });
});
