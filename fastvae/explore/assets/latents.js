// The latent space: a pad over two latents, sliders for the others, and what is decoded there.

const MOST_CLASSES = 20;

// Latents by the variance they carry, and how far sliders and pad reach.
function makeLatents(told, rows, model) {
  const { variance, threshold } = told, total = variance.reduce((a, b) => a + b, 0) || 1;
  const order = variance.map((_, k) => k).sort((a, b) => variance[b] - variance[a]);
  const active = order.filter((k) => variance[k] > threshold);
  const reach = (most) => Math.min(Math.max(Math.ceil(most * 2) / 2, 3), 20);
  const far = rows.means.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const share = (k) => {
    const percent = 100 * variance[k] / total;
    return percent >= 10 ? percent.toFixed(0) : percent >= 1 ? percent.toFixed(1) : '<1';
  };
  return {
    order,
    active,
    isActive: (k) => variance[k] > threshold,
    limit: reach(far),
    // Of a pad over some latents.
    limitOf: (axes) => {
      let most = 0;
      for (let r = 0; r < rows.n; r++) {
        for (const k of axes) most = Math.max(most, Math.abs(rows.means[r * model.nLatent + k]));
      }
      return reach(most);
    },
    nameOf: (k) => `z${k} · ${share(k)} %`,
  };
}

function startLatents(page) {
  const { model, latents, rows, look } = page;
  const z = new Float32Array(model.nLatent);
  const pad = byId('pad'), decoded = byId('decoded'), across = byId('across'), up = byId('up');
  let axes = [latents.order[0], latents.order[1] ?? latents.order[0]];
  const sliders = new Map();
  let backdrop = null; // the stored rows, which are drawn anew only when axes or theme change

  let limit = latents.limitOf(axes);
  const clip = (v) => Math.min(Math.max(v, -limit), limit);

  for (const select of [across, up]) {
    latents.order.forEach((k) => select.append(make('option', { value: k, textContent: latents.nameOf(k) })));
  }
  for (const k of latents.order) {
    const one = slider({ name: latents.nameOf(k), min: -latents.limit, max: latents.limit, step: latents.limit / 200, value: 0,
      onInput: (v) => { z[k] = v; redraw(draw); } });
    sliders.set(k, one);
  }
  const idle = byId('idle'), idleSliders = idle.querySelector('.sliders');

  // Sliders stand for the latents that are not on the pad; idle ones are folded away.
  function arrange() {
    const rest = latents.order.filter((k) => model.nLatent === 1 || !axes.includes(k));
    byId('sliders').replaceChildren(...rest.filter(latents.isActive).map((k) => sliders.get(k).element));
    const quiet = rest.filter((k) => !latents.isActive(k));
    idleSliders.replaceChildren(...quiet.map((k) => sliders.get(k).element));
    idle.hidden = quiet.length === 0;
    byId('others').hidden = rest.length === 0;
    document.querySelector('.space').classList.toggle('two', rest.length === 0 || model.nLatent === 1);
    idle.querySelector('summary').textContent = `${quiet.length} inactive latent${quiet.length > 1 ? 's' : ''}`;
    across.value = axes[0];
    up.value = axes[1];
    pad.setAttribute('aria-label', `Pad: z${axes[0]} across, z${axes[1]} up`);
    limit = latents.limitOf(axes);
    pad.setAttribute('aria-valuemin', -limit);
    pad.setAttribute('aria-valuemax', limit);
    backdrop = null;
    setAll(z);
  }

  function place(v, size) {
    const margin = 14;
    return margin + (size - 2 * margin) * (v + limit) / (2 * limit);
  }

  function drawBackdrop(width, ratio) {
    backdrop = document.createElement('canvas');
    backdrop.width = backdrop.height = Math.round(width * ratio);
    const context = backdrop.getContext('2d');
    context.scale(ratio, ratio);
    context.fillStyle = colours.line;
    const middle = place(0, width);
    context.fillRect(middle - 0.5, 0, 1, width);
    context.fillRect(0, middle - 0.5, width, 1);
    context.strokeStyle = colours.line;
    for (const radius of model.prior ? [] : [1, 2]) { // standard deviations of the prior N(0, 1)
      context.beginPath();
      context.arc(middle, middle, place(radius, width) - middle, 0, 2 * Math.PI);
      context.stroke();
    }
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.font = '600 10px system-ui, sans-serif';
    context.globalAlpha = 0.75;
    for (let r = 0; r < rows.n; r++) {
      const x = place(clip(rows.means[r * model.nLatent + axes[0]]), width);
      const y = width - place(clip(rows.means[r * model.nLatent + axes[1]]), width);
      const kind = rows.labels ? rows.classOf(r) : 0;
      if (rows.areFigures) {
        context.fillStyle = colours.classes[kind % colours.classes.length];
        context.fillText(rows.labelOf(r), x, y);
      } else {
        drawMark(context, kind, x, y, 3);
      }
    }
  }

  // What marks stand for, where they are not the labels themselves.
  function drawLegend() {
    const legend = byId('legend');
    legend.hidden = !rows.labels || rows.areFigures;
    if (legend.hidden) return;
    const names = rows.classNames.slice(0, 12);
    legend.replaceChildren(...names.map((name, kind) => {
      const mark = make('canvas', { 'aria-hidden': 'true', className: 'mark' });
      drawMark(sharp(mark, 12, 12).context, kind, 6, 6, 4);
      return make('span', {}, mark, name);
    }), rows.classNames.length > names.length ? `and ${rows.classNames.length - names.length} more` : '');
  }

  let drawn = ''; // what the pad shows
  function drawPad() {
    const width = pad.clientWidth, ratio = window.devicePixelRatio || 1;
    if (width < 40) return; // nothing is laid out yet
    const state = `${z[axes[0]]} ${z[axes[1]]} ${width} ${ratio}`;
    if (backdrop !== null && state === drawn) return;
    drawn = state;
    const { context } = sharp(pad, width);
    if (backdrop === null || backdrop.width !== Math.round(width * ratio)) drawBackdrop(width, ratio);
    context.drawImage(backdrop, 0, 0, width, width);
    const x = place(clip(z[axes[0]]), width), y = width - place(clip(z[axes[1]]), width);
    context.fillStyle = colours.mark;
    context.strokeStyle = colours.card;
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }

  function draw() {
    const means = model.decode(z, page.label);
    page.readings.set('decoded', [means]);
    look.draw(decoded, means);
    if (model.nLatent > 1) drawPad();
    stale = everyClass.length;
    if (stale) redraw(drawClass);
  }

  // One class a frame, so that the picture does not wait for them.
  let stale = 0, turn = 0;
  function drawClass() {
    const { canvas, button } = everyClass[turn];
    look.thumbnail(canvas, model.decode(z, turn));
    button.setAttribute('aria-pressed', String(turn === page.label));
    turn = (turn + 1) % everyClass.length;
    stale -= 1;
    if (stale > 0) redraw(drawClass);
  }

  // Of a conditional model the same latents in other classes; a click chooses one.
  const everyClass = Array.from({ length: Math.min(model.nClasses, MOST_CLASSES) }, (_, k) => {
    const canvas = make('canvas', { 'aria-hidden': 'true' });
    const button = make('button', { type: 'button', 'aria-label': `class ${page.className(k)}` },
      canvas, make('span', { textContent: page.className(k) }));
    button.addEventListener('click', () => page.setLabel(k));
    return { canvas, button };
  });
  byId('every-class').hidden = everyClass.length === 0;
  byId('every-class').querySelector('.every').append(...everyClass.map(({ button }) => button));

  function describe() {
    const text = `z${axes[0]} ${signed(z[axes[0]])}, z${axes[1]} ${signed(z[axes[1]])}`;
    pad.setAttribute('aria-valuetext', text);
    pad.setAttribute('aria-valuenow', z[axes[0]].toFixed(2));
  }

  function setAll(values) {
    z.set(values);
    for (const [k, one] of sliders) one.set(z[k]);
    describe();
    redraw(draw);
  }

  function setPad(x, y) {
    z[axes[0]] = clip(x);
    z[axes[1]] = clip(y);
    for (const k of axes) sliders.get(k).set(z[k]);
    describe();
    redraw(draw);
  }

  function fromPointer(event) {
    const box = pad.getBoundingClientRect(), margin = 14, size = box.width;
    const value = (at) => ((at - margin) / (size - 2 * margin)) * 2 * limit - limit;
    setPad(value(event.clientX - box.left), value(size - (event.clientY - box.top)));
  }

  pad.addEventListener('pointerdown', (event) => {
    pad.setPointerCapture(event.pointerId);
    fromPointer(event);
  });
  pad.addEventListener('pointermove', (event) => {
    if (pad.hasPointerCapture(event.pointerId)) fromPointer(event);
  });
  pad.addEventListener('keydown', (event) => {
    const length = limit / (event.shiftKey ? 10 : 40);
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === 'Home') setPad(0, 0);
    else if (move) setPad(z[axes[0]] + length * move[0], z[axes[1]] + length * move[1]);
    else return;
    event.preventDefault();
  });
  // Choosing the other axis' latent swaps the two.
  const choose = (own, select) => select.addEventListener('change', () => {
    const k = Number(select.value);
    if (axes[1 - own] === k) axes[1 - own] = axes[own];
    axes[own] = k;
    arrange();
  });
  choose(0, across);
  choose(1, up);
  byId('reset').addEventListener('click', () => setAll(model.priorOf(page.label).mean));
  byId('random').addEventListener('click', () => setAll(page.random.ofPrior(model, page.label)));
  byId('random-mixture').hidden = !model.mixture;
  byId('random-mixture').addEventListener('click', () => setAll(page.random.ofMixture(model)));
  byId('plane').hidden = model.nLatent === 1;
  byId('pad-help').textContent = 'Drag, or use the arrow keys (Shift: further, Home: the middle). '
    + `${rows.areFigures ? 'Labels' : 'Marks'} are where the stored rows are encoded`
    + `${model.prior ? '.' : ', circles one and two standard deviations of the prior.'}`;
  byId('latents-lead').textContent = `The model describes each ${page.image ? 'image' : 'row'} by `
    + `${model.nLatent > 1 ? `${model.nLatent} numbers, its latents` : 'one number, its latent'}. `
    + `Move the ${['slider', 'point'][model.nLatent - 1] || 'point, or the sliders'}, and see what the decoder makes of it.`;
  setAll(model.priorOf(page.label).mean);
  arrange();

  return {
    z,
    setAll,
    draw,
    themed() {
      backdrop = null;
      drawLegend();
      redraw(draw);
    },
  };
}
