import { jsonForScript } from '#dist/topo/picture/escape.js';
import { topoPage } from '#dist/topo/picture/page.js';
import { topoSvg } from '#dist/topo/picture/svg.js';
import { Script } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { HOSTILE, hostileMachine } from '../test-hostile-machine.ts';
import { tableOf, viewOf } from '../test-view.ts';

interface PageData {
  readonly names: Readonly<Record<string, string>>;
  readonly pairs: Readonly<Record<string, { readonly type: string; readonly path: readonly string[] }>>;
}

/** Elements that are open when the text ends, and those that end out of turn. */
function unbalanced(markup: string): readonly string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  for (const [, end, name = '', rest = ''] of markup.matchAll(/<(\/?)([a-z][a-z0-9]*)((?:"[^"]*"|[^>"])*)>/giu)) {
    if (end === '/') {
      if (open.pop() !== name) wrong.push(name);
    } else if (!rest.endsWith('/') && name !== 'meta') {
      open.push(name);
    }
  }
  return [...wrong, ...open];
}

const view = viewOf('aurora-8ve', { iommu: true });
const table = tableOf(view);
const page = topoPage(view, table, 'IOMMU on');
const svg = topoSvg(view, table);

function dataOf(html: string): PageData {
  return JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/su.exec(html)![1]!) as PageData;
}

describe('the picture', () => {
  test('every element is closed, nothing comes from outside', () => {
    expect(unbalanced(svg.replace(/<\?xml.*?\?>/u, ''))).toEqual([]);
    expect(svg).not.toMatch(/(?:href|src)=|url\(|@import|<script/u);
    expect(svg.match(/https?:\/\/[^"]*/gu)).toEqual(['http://www.w3.org/2000/svg']);
  });

  test('shows devices, ACS marks, groups and answers', () => {
    for (const { label, fn } of table.devices) {
      expect(svg).toContain(`>${label}</text>`);
      expect(svg).toContain(`data-bdf="${fn.bdf}"`);
    }
    expect(svg).toContain('class="pill-redirects"');
    expect(svg).toMatch(/>g\d+<\/text>/u);
    expect(svg.match(/data-from=/gu)).toHaveLength(90);
    expect(svg).toContain('>HB 4</text>');
    expect(svg).toContain('NUMA node 0');
    const off = viewOf('aurora-8ve');
    expect(topoSvg(off, tableOf(off)).includes('class="pill-passes"')).toBe(true);
  });

  test('follows light and dark', () => {
    expect(svg).toContain('@media (prefers-color-scheme:dark)');
  });
});

describe('the page', () => {
  test('every element is closed, nothing comes from outside, a policy forbids it', () => {
    const markup = page.replaceAll(/<(script|style)[^>]*>.*?<\/\1>/gsu, '').replace('<!doctype html>', '');
    expect(unbalanced(markup)).toEqual([]);
    expect(page).not.toMatch(/(?:href|src)=|url\(|@import/u);
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"`);
  });

  test('its data has every pair with the way and the reason', () => {
    const { names, pairs } = dataOf(page);
    expect(Object.keys(names)).toHaveLength(10);
    expect(Object.keys(pairs)).toHaveLength(90);
    expect(pairs['0000:1a:00.0 0000:1b:00.0']).toEqual({
      type: 'THRU_HOST_BRIDGE',
      distance: 4,
      because: expect.stringContaining('request redirect on 0000:19:04.0'),
      path: ['0000:1a:00.0', '0000:19:04.0', '0000:18:00.0', '0000:17:00.0', '0000:17', '0000:1b:00.0', '0000:19:08.0'],
      steps: expect.arrayContaining([expect.stringMatching(/^0000:19:04\.0 .* redirects to the root$/u)]),
      restsOn: [],
      remedies: expect.arrayContaining([expect.stringContaining('pci=disable_acs_redir=')]),
    });
    for (const { path } of Object.values(pairs)) for (const name of path) expect(page).toContain(`data-bdf="${name}"`);
  });

  test('its script is a program', () => {
    const scripts = [...page.matchAll(/<script>(.*?)<\/script>/gsu)].map((match) => match[1]!);
    expect(scripts).toHaveLength(1);
    expect(() => new Script(scripts[0]!)).not.toThrow();
  });
});

describe('a machine whose texts are hostile', () => {
  const hostile = viewOf(hostileMachine());
  const hostileTable = tableOf(hostile);

  test('cannot add elements, end the data, or steer a viewer', () => {
    const html = topoPage(hostile, hostileTable, HOSTILE);
    expect(html.match(/<script/gu)).toHaveLength(2);
    expect(html.match(/<\/style>/gu)).toHaveLength(1);
    for (const text of [html, topoSvg(hostile, hostileTable)]) {
      expect(text).not.toContain('alert(1)</script>');
      expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
      expect(text).toContain('&quot;&gt;&lt;script&gt;alert(1)');
    }
    expect(unbalanced(topoSvg(hostile, hostileTable).replace(/<\?xml.*?\?>/u, ''))).toEqual([]);
    expect(Object.keys(dataOf(html).pairs)).toHaveLength(90);
  });

  test('JSON cannot end its element', () => {
    const text = jsonForScript({ '</script>': '<!--\u2028' });
    expect(text).not.toMatch(/[<\u2028]/u);
    expect(JSON.parse(text)).toEqual({ '</script>': '<!--\u2028' });
  });
});
