/**
 * The script of the page, plain JavaScript for browsers. Texts reach the document as text nodes only.
 *
 * Pointing at a square of the map shows its pair, a click keeps it; a click on one device and then on another does the same.
 */
export const PAGE_SCRIPT = `'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const details = document.getElementById('details');
  const all = (selector) => [...document.querySelectorAll(selector)];
  let pinned = null;
  let picked = null;

  function element(tag, text, name) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name !== undefined) made.className = name;
    return made;
  }

  function list(title, tag, lines) {
    if (lines.length === 0) return [];
    const made = element(tag);
    made.append(...lines.map((line) => element('li', line)));
    return [element('h2', title), made];
  }

  function light(path) {
    const on = new Set(path);
    for (const box of all('[data-bdf]')) box.classList.toggle('lit', on.has(box.dataset.bdf));
    for (const edge of all('[data-edge]')) {
      const lit = on.has(edge.dataset.edge) && on.has(edge.dataset.lead);
      edge.classList.toggle('lit', lit);
      if (lit) edge.parentNode.append(edge);
    }
  }

  function show(from, to) {
    const pair = data.pairs[from + ' ' + to];
    if (pair === undefined) return;
    light(pair.path);
    details.replaceChildren(
      element('h1', data.names[to]),
      element('p', 'reaches the memory of'),
      element('h1', data.names[from]),
      element('p', pair.type + ', ' + pair.distance + (pair.distance === 1 ? ' hop' : ' hops'), 'verdict'),
      element('p', pair.because),
      ...list('The way', 'ol', pair.steps),
      ...list('Rests on', 'ul', pair.restsOn),
      ...list('What would change it', 'ul', pair.remedies),
    );
  }

  function pin(cell) {
    for (const other of all('[data-from].pinned')) other.classList.remove('pinned');
    pinned = cell;
    if (cell === null) return light([]);
    cell.classList.add('pinned');
    show(cell.dataset.from, cell.dataset.to);
  }

  function pick(bdf) {
    if (picked !== null && picked !== bdf) {
      const cell = all('[data-from]').find(({ dataset }) => dataset.from === picked && dataset.to === bdf);
      pin(cell ?? null);
      if (cell === undefined) show(picked, bdf);
      picked = null;
    } else {
      picked = picked === bdf ? null : bdf;
    }
    for (const box of all('[data-bdf]')) box.classList.toggle('picked', box.dataset.bdf === picked);
  }

  for (const cell of all('[data-from]')) {
    cell.addEventListener('mouseenter', () => show(cell.dataset.from, cell.dataset.to));
    cell.addEventListener('mouseleave', () => (pinned === null ? light([]) : show(pinned.dataset.from, pinned.dataset.to)));
    cell.addEventListener('click', () => pin(pinned === cell ? null : cell));
  }
  for (const box of all('[data-bdf]')) {
    if (data.names[box.dataset.bdf] !== undefined) box.addEventListener('click', () => pick(box.dataset.bdf));
  }
  document.getElementById('theme').addEventListener('click', () => {
    const root = document.documentElement;
    const dark = root.dataset.theme === 'dark' || (root.dataset.theme === undefined && matchMedia('(prefers-color-scheme: dark)').matches);
    root.dataset.theme = dark ? 'light' : 'dark';
  });
})();`;
