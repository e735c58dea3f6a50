// How rows and encodings are drawn: images pixel by pixel, other rows feature by feature.

const MOST_POINTS = 2000; // of a line

// Of so many values that they would fall on each other, the lowest and the highest of neighbours.
function extremes(values, part) {
  const found = [], step = Math.ceil(2 * values.length / MOST_POINTS);
  for (let first = 0; first < values.length; first += step) {
    let low = first, high = first;
    for (let i = first; i < Math.min(first + step, values.length); i++) {
      if (part(values[i], i) < part(values[low], low)) low = i;
      if (part(values[i], i) > part(values[high], high)) high = i;
    }
    found.push(Math.min(low, high), Math.max(low, high));
  }
  return found;
}

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
function sharp(canvas, height, width = canvas.clientWidth || 300) {
  const ratio = window.devicePixelRatio || 1;
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

  const isCount = new Array(n).fill(false);
  let first = 0;
  for (const [kind, width] of model.kinds) {
    for (let i = first; i < first + width; i++) {
      isCount[i] = kind === 'poisson';
      if (kind !== 'gaussian' && kind !== 'poisson') [low[i], high[i]] = [0, 1];
      else if (low[i] === high[i]) [low[i], high[i]] = [low[i] - 0.5, high[i] + 0.5];
    }
    first += width;
  }
  const { from, to } = image ? { from: low, to: high } : makeScales(page, low, high);

  // Where a value lies between the ends of its scale; counts by their square roots.
  function part(v, i) {
    const at = Math.min(Math.max((v - from[i]) / (to[i] - from[i] || 1), 0), 1);
    return isCount[i] ? Math.sqrt(at) : at;
  }

  function nameOf(i) {
    return page.featureNames ? page.featureNames[i] : `x${i}`;
  }

  function marginOf() {
    const [height, width] = image;
    let sum = 0, count = 0;
    for (let r = 0; r < rows.n; r++) {
      const row = rows.get(r);
      for (let i = 0; i < n; i++) {
        const x = i % width, y = (i - x) / width;
        if ((x % (width - 1) === 0 || y % (height - 1) === 0) && !Number.isNaN(row[i])) {
          sum += row[i];
          count += 1;
        }
      }
    }
    return sum / count;
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
      context.fillText(shortened(context, nameOf(i), left - 10), left - 8, middle);
      context.fillStyle = colours.line;
      context.fillRect(left, middle - 1, span, 2);
      context.fillStyle = colours.accent;
      const zero = span * part(0, i), end = span * part(row[i], i); // NaN draws nothing
      context.fillRect(left + Math.min(zero, end), middle - step * 0.28,
        Math.max(1.5, Math.abs(end - zero)), step * 0.56);
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
    const { context, width } = thin ? sharp(canvas, height, 96) : sharp(canvas, height);
    const margin = thin ? 2 : 6;
    const x = (i) => margin + (width - 2 * margin) * (n > 1 ? i / (n - 1) : 0.5);
    const y = (i, v) => height - margin - (height - 2 * margin) * part(v, i);
    const trace = (values, colour, size) => {
      context.beginPath();
      let down = false;
      for (const i of n > MOST_POINTS ? extremes(values, part) : values.keys()) {
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
    sample: image || n <= 16 ? draws : (canvas, row) => drawLine(canvas, row, null, 120, false),
    thumbnail: image ? drawImage : (canvas, row) => drawLine(canvas, row, null, 40, true),
    nameOf,
    low,
    high,
    limits: [least, most],
    // Dark on light, as the margins of the stored rows are.
    isInverted: image !== null && marginOf() > (least + most) / 2,
    hasCounts: isCount.includes(true),
    // What a pointer over a profile is at.
    featureAt: (canvas, event) => {
      const box = canvas.getBoundingClientRect();
      const at = n <= 40 ? (event.clientY - box.top - 2) / (box.height - 4)
        : (event.clientX - box.left - 6) / (box.width - 12);
      return Math.min(Math.max(n <= 40 ? Math.floor(at * n) : Math.round(at * (n - 1)), 0), n - 1);
    },
  };
}

// The scales that profiles are drawn on: those of features that are alike are one; others have their
// own. They leave out the outermost values, which would flatten all others.
function makeScales({ model, rows }, low, high) {
  const n = model.nFeatures, from = low.slice(), to = high.slice();
  let first = 0, most = 0, least = Infinity, lowest = Infinity, highest = -Infinity;
  for (const [kind, width] of model.kinds) {
    for (let i = first; i < first + width && (kind === 'gaussian' || kind === 'poisson'); i++) {
      const values = rows.column(i).sort();
      const [a, b] = [0.02, 0.98].map((q) => values[Math.round(q * (values.length - 1))]);
      if (b > a) {
        [from[i], to[i]] = [kind === 'poisson' ? 0 : a, b];
        [most, least] = [Math.max(most, b - a), Math.min(least, b - a)];
        [lowest, highest] = [Math.min(lowest, from[i]), Math.max(highest, b)];
      }
    }
    first += width;
  }
  if (model.kinds.length === 1 && most > 0 && most <= 10 * least) {
    from.fill(lowest);
    to.fill(highest);
  }
  return { from, to };
}

// A text that is cut where it is wider than its place.
const cut = new Map();

function shortened(context, text, width) {
  const key = `${context.font} ${width} ${text}`;
  if (!cut.has(key)) {
    let short = text;
    while (short.length > 1 && context.measureText(short).width > width) short = `${short.slice(0, -2)}…`;
    cut.set(key, short);
  }
  return cut.get(key);
}

// Marks of classes: by colour and by shape, so that either is enough.
function drawMark(context, kind, x, y, size) {
  context.fillStyle = colours.classes[kind % colours.classes.length];
  context.beginPath();
  const shape = kind % 5;
  if (shape === 0) context.arc(x, y, size, 0, 2 * Math.PI);
  else if (shape === 1) context.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
  else {
    const corners = [0, 0, 3, 4, 3][shape], turn = [0, 0, -Math.PI / 2, 0, Math.PI / 2][shape];
    for (let i = 0; i < corners; i++) {
      const angle = turn + 2 * Math.PI * i / corners, far = size * 1.3;
      context[i ? 'lineTo' : 'moveTo'](x + far * Math.cos(angle), y + far * Math.sin(angle));
    }
  }
  context.fill();
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
  const order = (latents.active.length ? latents.active : latents.order).slice(0, 100);
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
