import sax from 'sax';
import { TopologyError } from '../topology-error.ts';

/** An element with its attributes and the elements inside. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  /** Line where it starts, from 1. */
  readonly line: number;
}

interface OpenElement extends XmlElement {
  readonly children: XmlElement[];
}

const MAX_DEPTH = 256;

/**
 * Reads an XML document; texts and comments are left out.
 *
 * @returns the outermost element
 * @throws TopologyError with the line when it is not well-formed
 */
export function readXml(text: string): XmlElement {
  const parser = sax.parser(true);
  const open: OpenElement[] = [];
  let root: XmlElement | undefined;
  parser.onopentag = ({ name, attributes }) => {
    const element: OpenElement = { name, attributes: textsOf(attributes), children: [], line: parser.line + 1 };
    if (open.length >= MAX_DEPTH) throw new TopologyError('elements are nested too deep', { line: element.line });
    open.at(-1)?.children.push(element);
    root ??= element;
    open.push(element);
  };
  parser.onclosetag = () => void open.pop();
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the parser has no other way
  parser.onerror = (error) => {
    throw new TopologyError(`expected XML: ${error.message.split('\n')[0] ?? ''}`, { line: parser.line + 1 });
  };
  parser.write(text).close();
  if (root === undefined) throw new TopologyError('expected XML: no element found', { line: 1 });
  return root;
}

function textsOf(attributes: Readonly<Record<string, string | sax.QualifiedAttribute>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [name, typeof value === 'string' ? value : value.value]),
  );
}
