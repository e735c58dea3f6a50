// What the page is made of, put together; its state, its theme, and the hook for tests.

const contents = JSON.parse(byId('contents').textContent);

function makeRows(told, labelNames, model) {
  const values = unpacked(told.values), means = unpacked(told.means), width = model.nFeatures;
  const classes = told.labels && [...new Set(told.labels)].sort((a, b) => a - b);
  const nameOfLabel = (label) => labelNames[label] ?? String(label);
  const labelOf = (r) => nameOfLabel(told.labels[r]), classNames = classes && classes.map(nameOfLabel);
  function get(r) {
    const row = new Float32Array(width);
    for (let i = 0; i < width; i++) row[i] = values[r * width + i] * told.scale;
    return row;
  }
  const meanOf = (r) => means.slice(r * model.nLatent, (r + 1) * model.nLatent);
  return {
    n: told.n,
    labels: told.labels,
    means,
    get,
    meanOf,
    labelOf,
    classOf: (r) => classes.indexOf(told.labels[r]),
    classNames,
    // Whether labels are so short that they can stand for their rows.
    areFigures: classes !== null && classNames.every((name) => [...name].length <= 2),
    nameOf: (r) => (told.labels ? `${labelOf(r)} (row ${r + 1})` : `row ${r + 1}`),
    // The values of a feature, without those that are missing.
    column(i) {
      const found = new Float32Array(told.n);
      for (let r = 0; r < told.n; r++) found[r] = values[r * width + i] * told.scale;
      return found.filter((v) => !Number.isNaN(v));
    },
    // A row of another label where there is one.
    farFrom(r) {
      const other = told.labels ? told.labels.findIndex((label) => label !== told.labels[r]) : -1;
      return other >= 0 ? other : Math.min(1, told.n - 1);
    },
    // A value to begin with where one was missing: the row's own, or the first that there is.
    filled(i, r) {
      const own = get(r)[i];
      if (!Number.isNaN(own)) return own;
      return this.column(i)[0] ?? 0;
    },
  };
}

function startTheme(onChange) {
  const button = byId('theme'), dark = window.matchMedia('(prefers-color-scheme: dark)');
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : dark.matches);
  function show() {
    button.textContent = isDark() ? 'Light' : 'Dark';
    button.setAttribute('aria-label', `${button.textContent} colours`);
    readColours();
    onChange();
  }
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    show();
  });
  dark.addEventListener('change', show);
  show();
}

function startClasses(page, onChange) {
  const selects = [...document.querySelectorAll('label.class select')];
  for (const select of selects) {
    select.parentElement.hidden = !page.model.nClasses;
    for (let k = 0; k < page.model.nClasses; k++) {
      select.append(make('option', { value: k, textContent: page.className(k) }));
    }
    select.addEventListener('change', () => page.setLabel(Number(select.value)));
  }
  page.setLabel = (label) => {
    page.label = label;
    selects.forEach((select) => { select.value = label; });
    onChange();
  };
}

// Under a profile stands the feature that the pointer is over.
function startReadings(page) {
  if (page.image) return;
  for (const id of ['decoded', 'rebuilt']) {
    const canvas = byId(id), text = byId(`${id}-reading`);
    text.textContent = id === 'rebuilt' ? 'Marks are the row itself.' : '';
    canvas.addEventListener('pointermove', (event) => {
      const i = page.look.featureAt(canvas, event), [row, reference] = page.readings.get(id);
      const beside = reference ? `, the row ${shortNumber(reference[i])}` : '';
      text.textContent = `${page.look.nameOf(i)}: ${shortNumber(row[i])}${beside}`;
    });
  }
}

function startPage() {
  const model = makeModel(contents.model);
  const rows = makeRows(contents.rows, contents.labelNames, model);
  const page = {
    model,
    rows,
    image: contents.image,
    featureNames: contents.featureNames,
    latents: makeLatents(contents.latents, rows, model),
    random: makeRandom(1),
    label: 0,
    readings: new Map(),
    className: (k) => contents.labelNames[k] ?? String(k),
  };
  readColours();
  page.look = makeLook(page);
  byId('facts').textContent = contents.facts.join(' · ');
  document.body.classList.toggle('profiles', !page.image);
  if (page.image) document.body.style.setProperty('--slim', Math.min(1, page.image[1] / page.image[0]));
  byId(page.image ? 'draw' : 'edit').hidden = false;

  const parts = {};
  page.setLabel = () => {};
  parts.latents = startLatents(page);
  page.toLatents = (z) => {
    parts.latents.setAll(z);
    byId('latents').scrollIntoView({ behavior: keepsStill.matches ? 'auto' : 'smooth' });
    byId('pad').focus({ preventScroll: true });
  };
  parts.walk = startWalk(page);
  parts.own = page.image ? startDraw(page) : startEdit(page);
  parts.samples = startSamples(page);
  const all = Object.values(parts);
  startClasses(page, () => redraw(...all.map((part) => part.draw)));
  startReadings(page);
  startTheme(() => {
    parts.latents.themed();
    redraw(...all.map((part) => part.draw), ...all.map((part) => part.drawStrip).filter(Boolean));
  });
  window.addEventListener('resize', () => redraw(...all.map((part) => part.draw)));
  about();
  hook(page, parts);
}

function about() {
  const error = Math.ceil(Math.max(contents.error, 1e-6) * 1e6) / 1e6;
  byId('about').textContent = `In this file: ${contents.rows.source}, as they are; the model's weights, `
    + `${contents.float32Layers.length ? 'as float16 and float32' : 'as float16'}, with which decoded means differ `
    + `from Python's by ${error.toFixed(6)} at most.`;
}

// For tests, and for the curious at the console: encode(row, label), decode(z, label), and
// measureFrames(seconds), which moves the first latent all the time and says how many frames were
// drawn, and how long decoding and drawing took a frame, in milliseconds.
function hook(page, parts) {
  const { model, rows, latents } = page;
  window.fastvae = {
    encode: (row, label = 0) => {
      const { mean, logVar } = model.encode(Float32Array.from(row), label);
      return { mean: [...mean], logVar: [...logVar] };
    },
    decode: (z, label = 0) => [...model.decode(Float32Array.from(z), label)],
    storedRow: (r) => [...rows.get(r)],
    storedMean: (r) => [...rows.meanOf(r)],
    latents: () => [...parts.latents.z],
    measureFrames: (seconds) => new Promise((resolve) => {
      const start = performance.now(), before = { ...timing }, k = latents.order[0];
      function next(now) {
        const passed = (now - start) / 1000;
        if (passed >= seconds) {
          const frames = timing.frames - before.frames;
          resolve({ frames, seconds: passed, perSecond: frames / passed, milliseconds: (timing.work - before.work) / frames });
          return;
        }
        const z = Float32Array.from(parts.latents.z);
        z[k] = 2 * Math.sin(3 * passed);
        parts.latents.setAll(z);
        requestAnimationFrame(next);
      }
      requestAnimationFrame(next);
    }),
  };
}

startPage();
