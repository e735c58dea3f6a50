// How rows and encodings are drawn: images pixel by pixel, other rows feature by feature.

// Colours of the style sheet, looked up once and again when the theme changes.
const colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ['card', 'ink', 'quiet', 'line', 'accent', 'mark']) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
  colours.classes = style.getPropertyValue('--classes').split(',').map((text) => text.trim());
}

// A canvas of so many CSS pixels, sharp on the screen that it is on; its context, cleared.
function sharp(canvas, height) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth || 300;
  const across = Math.round(width * ratio), down = Math.round(height * ratio);
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width };
}

// What draws rows of the data: `draw` onto a canvas, `thumbnail` onto a small one.
function makeLook(page) {
  const { image, model, rows } = page, n = model.nFeatures;
  const low = new Float32Array(n).fill(Infinity), high = new Float32Array(n).fill(-Infinity);
  for (let r = 0; r < rows.n; r++) {
    const row = rows.get(r);
    for (let i = 0; i < n; i++) {
      if (row[i] < low[i]) low[i] = row[i];
      if (row[i] > high[i]) high[i] = row[i];
    }
  }
  for (let i = 0; i < n; i++) if (low[i] > high[i]) low[i] = high[i] = 0; // all are missing
  let least = low.reduce((a, b) => Math.min(a, b)), most = high.reduce((a, b) => Math.max(a, b));
  if (least >= 0 && most <= 1) [least, most] = [0, 1];

  // Features of like scales share one; others have their own, from their least to their greatest.
  const ranges = Array.from(high, (v, i) => v - low[i]).filter((v) => v > 0);
  const shares = Math.max(...ranges.slice(0, 5000), 0) <= 20 * Math.min(...ranges.slice(0, 5000), 1e30);
  let first = 0;
  for (const [kind, width] of model.kinds) {
    for (let i = first; i < first + width; i++) {
      if (kind !== 'gaussian' && kind !== 'poisson') [low[i], high[i]] = [0, 1];
      else if (shares && model.kinds.length === 1) [low[i], high[i]] = [least, most];
      else if (low[i] === high[i]) [low[i], high[i]] = [low[i] - 0.5, high[i] + 0.5];
    }
    first += width;
  }

  function part(v, i) {
    return Math.min(Math.max((v - low[i]) / (high[i] - low[i] || 1), 0), 1);
  }

  function nameOf(i) {
    return page.featureNames ? page.featureNames[i] : `x${i}`;
  }

  let pixels = null;

  function drawImage(canvas, row) {
    const [height, width] = image;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    if (pixels === null) pixels = new ImageData(width, height);
    const { data } = pixels, scale = 255 / (most - least || 1);
    for (let i = 0, at = 0; i < n; i++, at += 4) {
      const v = row[i], grey = (v - least) * scale; // what is out of range is clipped
      if (Number.isNaN(v)) {
        data[at] = 64; data[at + 1] = 89; data[at + 2] = 122; // missing: no grey
      } else {
        data[at] = data[at + 1] = data[at + 2] = grey;
      }
      data[at + 3] = 255;
    }
    canvas.getContext('2d').putImageData(pixels, 0, 0);
  }

  // A bar for each feature, with its name and value; a line where there are many.
  function drawBars(canvas, row, reference) {
    const step = n <= 16 ? 24 : 16, { context, width } = sharp(canvas, step * n + 4);
    const left = Math.min(120, width * 0.34), right = 54, span = width - left - right;
    context.font = `${n <= 16 ? 12 : 11}px system-ui, sans-serif`;
    context.textBaseline = 'middle';
    for (let i = 0; i < n; i++) {
      const middle = 2 + step * (i + 0.5);
      context.textAlign = 'right';
      context.fillStyle = colours.quiet;
      context.fillText(nameOf(i), left - 8, middle, left - 10);
      context.fillStyle = colours.line;
      context.fillRect(left, middle - 1, span, 2);
      context.fillStyle = colours.accent;
      context.fillRect(left, middle - step * 0.28, Math.max(1.5, span * part(row[i], i)), step * 0.56);
      if (reference && !Number.isNaN(reference[i])) {
        context.fillStyle = colours.mark;
        context.fillRect(left + span * part(reference[i], i) - 1.5, middle - step * 0.42, 3, step * 0.84);
      }
      context.textAlign = 'left';
      context.fillStyle = colours.ink;
      context.fillText(shortNumber(row[i]), left + span + 8, middle, right - 8);
    }
  }

  function drawLine(canvas, row, reference, height, thin) {
    const { context, width } = sharp(canvas, height), margin = thin ? 2 : 6;
    const x = (i) => margin + (width - 2 * margin) * (n > 1 ? i / (n - 1) : 0.5);
    const y = (i, v) => height - margin - (height - 2 * margin) * part(v, i);
    const trace = (values, colour, size) => {
      context.beginPath();
      let down = false;
      for (let i = 0; i < n; i++) {
        if (Number.isNaN(values[i])) { down = false; continue; }
        context[down ? 'lineTo' : 'moveTo'](x(i), y(i, values[i]));
        down = true;
      }
      context.strokeStyle = colour;
      context.lineWidth = size;
      context.lineJoin = 'round';
      context.stroke();
    };
    if (reference) trace(reference, colours.mark, 1.5);
    trace(row, colours.accent, thin ? 1 : 1.75);
  }

  const draws = image ? drawImage
    : n <= 40 ? drawBars
      : (canvas, row, reference) => drawLine(canvas, row, reference, 240, false);

  return {
    draw: draws,
    thumbnail: image ? drawImage : (canvas, row) => drawLine(canvas, row, null, 40, true),
    nameOf,
    low,
    high,
    limits: [least, most],
    // What a pointer over a profile is at.
    featureAt: (canvas, event) => {
      const box = canvas.getBoundingClientRect();
      const at = n <= 40 ? (event.clientY - box.top - 2) / (box.height - 4)
        : (event.clientX - box.left - 6) / (box.width - 12);
      return Math.min(Math.max(n <= 40 ? Math.floor(at * n) : Math.round(at * (n - 1)), 0), n - 1);
    },
  };
}

function shortNumber(v) {
  if (Number.isNaN(v)) return 'missing';
  const size = Math.abs(v);
  const text = size !== 0 && (size >= 1e5 || size < 1e-3) ? v.toExponential(1)
    : v.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return text.replace('-', '−');
}

// The posterior of a row: its means as bars, with a standard deviation to both sides.
function drawCode(canvas, { mean, logVar }, latents) {
  const height = 150, { context, width } = sharp(canvas, height);
  const order = latents.active.length ? latents.active : latents.order;
  const step = width / order.length, middle = (height - 16) / 2;
  const scale = (middle - 4) / latents.limit;
  const y = (v) => middle - scale * Math.min(Math.max(v, -latents.limit), latents.limit);
  context.fillStyle = colours.line;
  context.fillRect(0, middle - 0.5, width, 1);
  context.font = '10px system-ui, sans-serif';
  context.textAlign = 'center';
  context.textBaseline = 'alphabetic';
  order.forEach((k, at) => {
    const x = step * (at + 0.5), bar = Math.max(1, Math.min(22, step * 0.62));
    const top = y(mean[k]), deviation = Math.exp(logVar[k] / 2);
    context.fillStyle = colours.accent;
    context.fillRect(x - bar / 2, Math.min(top, middle), bar, Math.max(1, Math.abs(top - middle)));
    context.fillStyle = colours.ink;
    context.fillRect(x - 0.5, y(mean[k] + deviation), 1, y(mean[k] - deviation) - y(mean[k] + deviation));
    if (step >= 16) {
      context.fillStyle = colours.quiet;
      context.fillText(String(k), x, height - 3);
    }
  });
}
