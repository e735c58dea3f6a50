// Small things that all sections use: elements, frames of the screen, words that are read out.

const byId = (id) => document.getElementById(id);

// An element; properties are set, `dataset` and `style` merged, children appended as text or nodes.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Views are drawn once a frame, and only those that have changed.
const waiting = new Set();
const timing = { frames: 0, work: 0 };
let asked = false;

function redraw(...views) {
  views.forEach((view) => waiting.add(view));
  if (!asked) {
    asked = true;
    requestAnimationFrame(drawFrame);
  }
}

function drawFrame() {
  asked = false;
  const start = performance.now(), views = [...waiting];
  waiting.clear();
  for (const view of views) view();
  timing.frames += 1;
  timing.work += performance.now() - start;
}

// A sentence for screen readers, when nothing has changed for a while.
let timer = 0;

function say(element, text) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (element.textContent !== text) element.textContent = text;
  }, 500);
}

const signed = (v, digits = 2) => v.toFixed(digits).replace('-', '−');

// A slider with its name and its value.
function slider({ name, min, max, step, value, text = signed, onInput }) {
  const output = make('output', { textContent: text(value) });
  const input = make('input', { type: 'range', min, max, step, 'aria-label': name });
  input.value = value;
  let current = value;
  input.addEventListener('input', () => {
    current = input.valueAsNumber;
    onInput(current);
    shown(current);
  });
  function shown(v) {
    output.textContent = text(v);
    input.setAttribute('aria-valuetext', text(v));
  }
  const element = make('label', { className: 'slider' }, make('span', { textContent: name }), output, input);
  return {
    element,
    set(v) {
      if (v === current) return; // nothing has to be painted anew
      current = v;
      input.value = v;
      shown(v);
    },
  };
}

const keepsStill = window.matchMedia('(prefers-reduced-motion: reduce)');
