// From what is drawn to an image of the model's size, as MNIST was made of larger ones
// (LeCun, Cortes & Burges): the ink is scaled into a box of 20 of 28 pixels, keeping its shape, and
// moved until its centre of mass is in the middle.

const BOX = 20 / 28;

function boundsOf(ink, side) {
  let left = side, right = -1, top = side, bottom = -1;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      if (ink[y * side + x] > 0.05) {
        left = Math.min(left, x); right = Math.max(right, x);
        top = Math.min(top, y); bottom = Math.max(bottom, y);
      }
    }
  }
  return right < 0 ? null : { width: right - left + 1, height: bottom - top + 1 };
}

function centreOf(ink, side) {
  let sum = 0, x = 0, y = 0;
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const v = ink[row * side + column];
      sum += v;
      x += v * (column + 0.5);
      y += v * (row + 0.5);
    }
  }
  return { x: x / sum, y: y / sum };
}

// Put a square of ink into an image: pixel (x, y) covers from scale x + dx on. Each target pixel
// gets the ink of the area that covers it.
function splat(ink, side, image, { scale, dx, dy }) {
  const [height, width] = image, out = new Float32Array(height * width);
  for (let y = 0; y < side; y++) {
    const y0 = scale * y + dy, y1 = y0 + scale;
    for (let x = 0; x < side; x++) {
      const v = ink[y * side + x];
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

// The image of a square of ink with values from 0 to 1; null where nothing is drawn.
function imageOf(ink, side, image, centres) {
  const bounds = boundsOf(ink, side), [height, width] = image, size = Math.max(height, width);
  if (bounds === null) return null;
  const plain = size / side;
  if (!centres) {
    return splat(ink, side, image, { scale: plain, dx: (width - size) / 2, dy: (height - size) / 2 });
  }
  const box = BOX * Math.min(height, width);
  const scale = Math.min(box / Math.max(bounds.width, bounds.height), 4 * plain);
  const centre = centreOf(ink, side);
  return splat(ink, side, image,
    { scale, dx: width / 2 - scale * centre.x, dy: height / 2 - scale * centre.y });
}
