// A canvas to draw on, and what encoder and decoder make of the drawing.

function startDraw(page) {
  const { model, look, image, latents } = page, [least, most] = look.limits;
  const [paper, ink] = look.isInverted ? ['#fff', '#000'] : ['#000', '#fff'];
  const perPixel = 280 / Math.max(...image), canvas = byId('ink'), context = canvas.getContext('2d', { willReadFrequently: true });
  canvas.width = Math.round(perPixel * image[1]);
  canvas.height = Math.round(perPixel * image[0]);
  const { width, height } = canvas;
  const pen = byId('pen'), centre = byId('centre');
  const near = makeNear(page, byId('draw-near'), byId('draw-summary'));
  let stamped = null; // a stored row is taken as it is, until it is drawn on
  let row = null, code = null, last = null, cursor = null, lowered = false;

  const strip = makeStrip(page, byId('draw-strip'), { name: 'Stored rows, to begin a drawing with', onChoose: stamp });

  function clear() {
    context.fillStyle = paper;
    context.fillRect(0, 0, width, height);
    stamped = null;
    strip.mark({});
    redraw(update);
  }

  function stamp(r) {
    clear();
    const small = document.createElement('canvas');
    look.draw(small, page.rows.get(r));
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, width, height);
    stamped = page.rows.get(r);
    strip.mark({ [r]: '✓' });
    if (model.nClasses) page.setLabel(page.rows.labels[r]);
  }

  function line(from, to) {
    if (stamped !== null) strip.mark({});
    stamped = null;
    context.strokeStyle = ink;
    context.lineWidth = pen.valueAsNumber * 10;
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y + (from.x === to.x && from.y === to.y ? 0.01 : 0));
    context.stroke();
    redraw(update);
  }

  function inkOf() {
    const { data } = context.getImageData(0, 0, width, height), values = new Float32Array(width * height);
    for (let i = 0; i < values.length; i++) values[i] = (look.isInverted ? 255 - data[4 * i] : data[4 * i]) / 255;
    return { values, width, height };
  }

  function update() {
    const drawn = stamped === null ? imageOf(inkOf(), image, centre.checked) : null;
    row = stamped;
    byId('draw').classList.toggle('empty', row === null && drawn === null);
    if (row === null) {
      const [from, to] = look.isInverted ? [most, least] : [least, most];
      row = (drawn || new Float32Array(model.nFeatures)).map((v) => from + v * (to - from));
    }
    code = model.encode(row, page.label);
    look.draw(byId('seen'), row);
    look.draw(byId('redrawn'), model.decode(code.mean, page.label));
    drawCode(byId('draw-code'), code, latents);
    near(code.mean);
  }

  function at(event) {
    const box = canvas.getBoundingClientRect(), scale = width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    line(last, last);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (last === null || !canvas.hasPointerCapture(event.pointerId)) return;
    const steps = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const step of steps.length ? steps : [event]) {
      const next = at(step);
      line(last, next);
      last = next;
    }
  });
  for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, () => { last = null; });

  canvas.addEventListener('keydown', (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === 'Delete' || event.key === 'Backspace') {
      clear();
    } else if (event.key === ' ') {
      lowered = !lowered;
      if (lowered) line(cursor, cursor);
    } else if (move) {
      const clip = (v, size) => Math.min(Math.max(v, 0), size);
      const next = { x: clip(cursor.x + 14 * move[0], width), y: clip(cursor.y + 14 * move[1], height) };
      if (lowered) line(cursor, next);
      cursor = next;
    } else {
      return;
    }
    event.preventDefault();
    showCursor();
  });
  canvas.addEventListener('focus', () => {
    cursor = cursor || { x: width / 2, y: height / 4 };
    if (canvas.matches(':focus-visible')) showCursor();
  });
  canvas.addEventListener('blur', () => {
    lowered = false;
    byId('cursor').hidden = true;
  });

  const spot = make('span', { id: 'cursor', hidden: true, 'aria-hidden': 'true' });
  canvas.parentElement.append(spot);
  function showCursor() {
    spot.hidden = false;
    spot.style.left = `${canvas.offsetLeft + canvas.clientWidth * cursor.x / width}px`;
    spot.style.top = `${canvas.offsetTop + canvas.clientHeight * cursor.y / height}px`;
    spot.className = lowered ? 'down' : '';
    canvas.setAttribute('aria-label', `Drawing, pen ${lowered ? 'down' : 'up'} at `
      + `${Math.round(100 * cursor.x / width)}, ${Math.round(100 * cursor.y / height)} of 100`);
  }

  pen.value = Math.max(1.6, 0.09 * perPixel); // at least a pixel, nearly
  centre.checked = image[0] === 28 && image[1] === 28;
  byId('clear').addEventListener('click', clear);
  centre.addEventListener('change', () => redraw(update));
  byId('draw-take').addEventListener('click', () => page.toLatents(code.mean));
  clear();
  return { draw: update, drawStrip: strip.drawAll };
}
