// From what is drawn to an image of the model's size, as MNIST was made of larger ones
// (LeCun, Cortes & Burges): the ink is scaled into a box of 20 of 28 pixels, keeping its shape, and
// moved until its centre of mass is in the middle.

const BOX = 20 / 28;

// Ink is { values, width, height }, from 0 to 1, row by row.
function boundsOf({ values, width, height }) {
  let left = width, right = -1, top = height, bottom = -1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (values[y * width + x] > 0.05) {
        left = Math.min(left, x); right = Math.max(right, x);
        top = Math.min(top, y); bottom = Math.max(bottom, y);
      }
    }
  }
  return right < 0 ? null : { width: right - left + 1, height: bottom - top + 1 };
}

function centreOf({ values, width, height }) {
  let sum = 0, x = 0, y = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const v = values[row * width + column];
      sum += v;
      x += v * (column + 0.5);
      y += v * (row + 0.5);
    }
  }
  return { x: x / sum, y: y / sum };
}

// Put ink into an image: its pixel (x, y) begins at (scale x + dx, scale y + dy). Each pixel of the
// image gets the ink of the area that covers it.
function splat(ink, [height, width], { scale, dx, dy }) {
  const out = new Float32Array(height * width);
  for (let y = 0; y < ink.height; y++) {
    const y0 = scale * y + dy, y1 = y0 + scale;
    for (let x = 0; x < ink.width; x++) {
      const v = ink.values[y * ink.width + x];
      if (v === 0) continue;
      const x0 = scale * x + dx, x1 = x0 + scale;
      for (let j = Math.max(0, Math.floor(y0)); j < Math.min(height, y1); j++) {
        const down = Math.min(y1, j + 1) - Math.max(y0, j);
        for (let i = Math.max(0, Math.floor(x0)); i < Math.min(width, x1); i++) {
          out[j * width + i] += v * down * (Math.min(x1, i + 1) - Math.max(x0, i));
        }
      }
    }
  }
  return out.map((v) => Math.min(v, 1));
}

// The image of some ink; null where nothing is drawn.
function imageOf(ink, image, centres) {
  const bounds = boundsOf(ink), [height, width] = image;
  if (bounds === null) return null;
  const plain = width / ink.width;
  if (!centres) return splat(ink, image, { scale: plain, dx: 0, dy: 0 });
  const box = BOX * Math.min(height, width);
  const scale = Math.min(box / Math.max(bounds.width, bounds.height), 4 * plain);
  const centre = centreOf(ink);
  return splat(ink, image,
    { scale, dx: width / 2 - scale * centre.x, dy: height / 2 - scale * centre.y });
}
