// Rows that are no images: a stored one is chosen, and its features are changed by sliders.

const AT_FIRST = 24;

function startEdit(page) {
  const { model, look, rows, latents } = page, n = model.nFeatures, row = new Float32Array(n);
  const near = makeNear(page, byId('edit-near'), byId('edit-summary'));
  let chosen = 0, code = null, shown = AT_FIRST;

  const strip = makeStrip(page, byId('edit-strip'), { name: 'Stored rows, to edit', onChoose: choose });

  // Those that vary most among the stored rows come first, on the scale that they are drawn in.
  const order = featureOrder(page);
  const controls = []; // made as they are shown: there may be many thousands

  function numberControl(i, kind) {
    const isCount = kind === 'poisson', [low, high] = [look.low[i], look.high[i]];
    const control = slider({ name: look.nameOf(i), min: low, max: high, value: low,
      step: isCount ? 1 : (high - low) / 200, text: shortNumber,
      onInput: (v) => { row[i] = v; redraw(update); } });
    if (!model.ignoresMissing) return { element: control.element, set: () => control.set(row[i]) };
    const box = make('input', { type: 'checkbox' });
    box.addEventListener('change', () => {
      row[i] = box.checked ? NaN : rows.filled(i, chosen);
      refresh();
    });
    return {
      element: make('div', { className: 'feature' }, control.element,
        make('label', { className: 'switch' }, box, make('span', { textContent: 'missing' }))),
      set() {
        box.checked = Number.isNaN(row[i]);
        control.element.querySelector('input').disabled = box.checked;
        control.set(row[i]);
      },
    };
  }

  function categoryControl(columns) {
    const select = make('select', {}, ...columns.map((i) => make('option', { value: i, textContent: look.nameOf(i) })));
    if (model.ignoresMissing) select.append(make('option', { value: 'missing', textContent: 'missing' }));
    select.addEventListener('change', () => {
      for (const i of columns) row[i] = select.value === 'missing' ? NaN : Number(i === Number(select.value));
      redraw(update);
    });
    return {
      element: make('label', { className: 'slider' },
        make('span', { textContent: `${look.nameOf(columns[0])} to ${look.nameOf(columns[columns.length - 1])}` }), select),
      set() {
        const is = columns.find((i) => row[i] === 1);
        select.value = is === undefined ? 'missing' : is;
      },
    };
  }

  function choose(r) {
    chosen = r;
    row.set(rows.get(r));
    strip.mark({ [r]: '✓' });
    if (model.nClasses) page.setLabel(rows.labels[r]);
    refresh();
  }

  function refresh() {
    controls.forEach((control) => control.set());
    redraw(update);
  }

  function update() {
    code = model.encode(row, page.label);
    page.readings.set('rebuilt', [model.decode(code.mean, page.label), row]);
    look.draw(byId('rebuilt'), ...page.readings.get('rebuilt'));
    drawCode(byId('edit-code'), code, latents);
    near(code.mean);
  }

  function arrange() {
    for (const { kind, columns } of order.slice(controls.length, shown)) {
      const control = kind === 'categorical' ? categoryControl(columns) : numberControl(columns[0], kind);
      byId('features').append(control.element);
      control.set();
      controls.push(control);
    }
    byId('more').hidden = shown >= order.length;
  }

  byId('more').addEventListener('click', () => {
    shown += AT_FIRST;
    arrange();
  });
  byId('edit-reset').addEventListener('click', () => choose(chosen));
  byId('edit-take').addEventListener('click', () => page.toLatents(code.mean));
  byId('roots').hidden = !look.hasCounts;
  row.set(rows.get(0));
  arrange();
  choose(0);
  return { draw: update, drawStrip: strip.drawAll };
}

// Blocks of categories, and all other features alone; few stay as they stand, many go by variance.
function featureOrder({ model, look, rows }) {
  const found = [];
  let first = 0;
  for (const [kind, width] of model.kinds) {
    const columns = Array.from({ length: width }, (_, i) => first + i);
    if (kind === 'categorical') found.push({ kind, columns });
    else found.push(...columns.map((i) => ({ kind, columns: [i] })));
    first += width;
  }
  if (found.length <= AT_FIRST) return found;
  const variance = (i) => {
    const values = rows.column(i), mean = values.reduce((a, b) => a + b, 0) / values.length;
    const sum = values.reduce((a, b) => a + (b - mean) ** 2, 0);
    return sum / values.length / (look.high[i] - look.low[i]) ** 2 || 0;
  };
  const weights = new Map(found.map((one) => [one, Math.max(...one.columns.map(variance))]));
  return found.sort((a, b) => weights.get(b) - weights.get(a));
}
