import type { Step } from './scenario.ts';

/** Most characters of a variable's name. */
const MAX_NAME = 31;

/** Reads `[as =] [bg] op key=value ...`. @throws RangeError saying what was expected */
export function parseStep(text: string, line: number): Step {
  const { as, rest } = splitTarget(text);
  const [first = '', ...words] = rest.trimStart().split(' ');
  const background = first === 'bg';
  const body = background ? words.join(' ').trimStart() : rest.trimStart();
  const op = /^[^ ]*/.exec(body)![0];
  if (!/^\w+$/.test(op)) throw new RangeError(`expected [name =] [bg] operation key=value ..., got '${text}'`);
  return { op, as, background, args: parseArgs(body.slice(op.length)), line };
}

function splitTarget(text: string): { as: string; rest: string } {
  const match = /^([^ ]+) = /.exec(text);
  if (match === null) return { as: '', rest: text };
  const as = match[1]!;
  if (as.length > MAX_NAME) throw new RangeError(`expected a name of at most ${MAX_NAME} characters, got '${as}'`);
  return { as, rest: text.slice(match[0].length) };
}

function parseArgs(text: string): (readonly [string, string])[] {
  const args: (readonly [string, string])[] = [];
  for (let rest = text.trimStart(); rest !== '';) {
    const key = /^[^= ]+(?==)/.exec(rest)?.[0];
    if (key === undefined) throw new RangeError(`expected key=value, got '${rest}'`);
    rest = rest.slice(key.length + 1);
    const quoted = /^"((?:[^"\\]|\\.)*)("?)/s.exec(rest);
    if (quoted !== null && quoted[2] === '') throw new RangeError(`expected a closing quote after ${key}=`);
    const plain = quoted === null ? /^[^ ]*/.exec(rest)![0] : '';
    args.push([key, quoted === null ? plain : unescape(quoted[1]!)]);
    rest = rest.slice(quoted === null ? plain.length : quoted[0].length).trimStart();
  }
  return args;
}

function unescape(text: string): string {
  return text.replaceAll(/\\(x[0-9a-fA-F]{2}|.)/gs, (_, code: string) => {
    if (code.length === 3) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return code === 'n' ? '\n' : code === 't' ? '\t' : code;
  });
}
