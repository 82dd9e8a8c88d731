/** One line as it stands in the text, without the marks of those who passed it on. */
export interface TextLine {
  /** Number in the text, from 1. */
  readonly line: number;
  /** Without mail quoting and without blanks at both ends. */
  readonly text: string;
  /** Blanks before it. */
  readonly indent: number;
  /** Length with all blanks and quoting before it. */
  readonly width: number;
  /** Ends with a blank: a mailer that wraps leaves one where it broke the line. */
  readonly flowed: boolean;
}

const QUOTE_PATTERN = /^(?:> ?)+/u;
const BULLET_PATTERN = /^[-*o•] (?=(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] )/iu;
const BULLETS = '-*o•';

/** Calls `take` for every line of the text. */
export function eachLine(text: string, take: (line: TextLine) => void): void {
  let line = 1;
  for (let at = 0; at <= text.length; line++) {
    const found = text.indexOf('\n', at);
    const end = found < 0 ? text.length : found;
    if (found >= 0 || end > at) take(lineOf(text.slice(at, end), line));
    at = end + 1;
  }
}

function lineOf(raw: string, line: number): TextLine {
  const blanks = raw.includes('\u00a0') ? raw.replaceAll('\u00a0', ' ') : raw;
  const carriage = blanks.endsWith('\r') ? blanks.slice(0, -1) : blanks;
  const ended = carriage.trimEnd();
  const unquoted = ended.startsWith('>') ? ended.replace(QUOTE_PATTERN, '') : ended;
  const text = unquoted.trimStart();
  return {
    line,
    text: BULLETS.includes(text.charAt(0)) ? text.replace(BULLET_PATTERN, '') : text,
    indent: unquoted.length - text.length,
    width: ended.length,
    flowed: ended.length < carriage.length,
  };
}
