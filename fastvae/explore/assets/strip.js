// A strip of all stored rows, of which one is chosen; arrow keys go from one to the next.

function makeStrip(page, place, { name, onChoose }) {
  const strip = make('div', { className: page.image ? 'strip' : 'strip wide', role: 'listbox',
    'aria-label': name, 'aria-orientation': 'horizontal', 'aria-multiselectable': 'true' });
  const items = Array.from({ length: page.rows.n }, (_, r) => {
    const canvas = make('canvas', { 'aria-hidden': 'true' });
    const item = make('button', { type: 'button', role: 'option', tabIndex: r ? -1 : 0,
      'aria-label': page.rows.nameOf(r), 'aria-selected': 'false', title: page.rows.nameOf(r) }, canvas);
    if (page.rows.labels) item.append(make('span', { textContent: page.rows.labelOf(r), 'aria-hidden': 'true' }));
    item.addEventListener('click', () => choose(r));
    return item;
  });
  strip.append(...items);
  place.append(strip);
  let at = 0;

  strip.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10,
      Home: -items.length, End: items.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    focus(Math.min(Math.max(at + step, 0), items.length - 1));
    items[at].focus();
  });

  function focus(r) {
    items[at].tabIndex = -1;
    at = r;
    items[at].tabIndex = 0;
  }

  function choose(r) {
    focus(r);
    onChoose(r);
  }

  return {
    drawAll() {
      items.forEach((item, r) => page.look.thumbnail(item.firstChild, page.rows.get(r)));
    },
    // Marks of chosen rows: text by row.
    mark(marks) {
      items.forEach((item, r) => {
        item.setAttribute('aria-selected', String(r in marks));
        if (marks[r]) item.dataset.mark = marks[r];
        else delete item.dataset.mark;
      });
    },
  };
}

// Stored rows whose encodings are nearest to a mean, nearest first.
function nearest(page, mean, n = 6) {
  const { rows, model } = page, z = model.nLatent;
  const found = Array.from({ length: rows.n }, (_, r) => {
    let sum = 0;
    for (let i = 0; i < z; i++) sum += (rows.means[r * z + i] - mean[i]) ** 2;
    return { row: r, distance: Math.sqrt(sum) };
  });
  return found.sort((a, b) => a.distance - b.distance).slice(0, n);
}

// Shows the nearest rows, in places that are made once.
function makeNear(page, place, summary) {
  const cells = Array.from({ length: Math.min(6, page.rows.n) }, () => {
    const canvas = make('canvas', { role: 'img' }), name = make('b'), distance = make('span');
    place.append(make('figure', {}, canvas, make('figcaption', {}, name, ' ', distance)));
    return { canvas, name, distance };
  });
  return (mean) => {
    const found = nearest(page, mean, cells.length);
    cells.forEach(({ canvas, name, distance }, i) => {
      const { row } = found[i];
      page.look.thumbnail(canvas, page.rows.get(row));
      canvas.setAttribute('aria-label', page.rows.nameOf(row));
      name.textContent = page.rows.labels ? page.rows.labelOf(row) : '';
      distance.textContent = found[i].distance.toFixed(2);
    });
    const { rows } = page, { row, distance } = found[0];
    const alike = rows.labels ? found.filter((one) => rows.labels[one.row] === rows.labels[row]).length : 0;
    say(summary, `The nearest is ${rows.nameOf(row)}, ${distance.toFixed(2)} away in the means`
      + `${rows.labels ? `; ${alike} of the ${found.length} are ${rows.labelOf(row)}` : ''}.`);
  };
}
