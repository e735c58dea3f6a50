// The straight way between the encodings of two stored rows.

function startWalk(page) {
  const { model, rows, look } = page, way = byId('way'), play = byId('play');
  const ends = [0, rows.farFrom(0)];
  let turn = 0, t = 0, playing = false, direction = 1, last = 0;

  const strip = makeStrip(page, byId('walk-strip'), {
    name: 'Stored rows, for A and B',
    onChoose(r) {
      ends[turn] = r;
      setTurn(1 - turn);
      refresh();
    },
  });

  function setTurn(which) {
    turn = which;
    byId('choose-a').setAttribute('aria-pressed', String(turn === 0));
    byId('choose-b').setAttribute('aria-pressed', String(turn === 1));
  }

  function draw() {
    const [a, b] = ends.map((r) => rows.meanOf(r));
    // Of a conditional model the first half of the way has A's class, the second B's.
    const label = rows.labels ? rows.labels[ends[t < 0.5 ? 0 : 1]] : page.label;
    look.draw(byId('walk-between'), model.decode(a.map((v, i) => (1 - t) * v + t * b[i]), label));
    const text = `${Math.round(100 * t)} % of the way`;
    byId('caption-between').textContent = text;
    byId('walk-between').setAttribute('aria-label', `Decoded at ${text} from A to B`);
  }

  function drawEnds() {
    [['a', 'A'], ['b', 'B']].forEach(([id, name], i) => {
      look.draw(byId(`walk-${id}`), rows.get(ends[i]));
      byId(`walk-${id}`).setAttribute('aria-label', `${name}: ${rows.nameOf(ends[i])}`);
      byId(`caption-${id}`).textContent = `${name}: ${rows.nameOf(ends[i])}`;
    });
  }

  function refresh() {
    strip.mark({ [ends[1]]: 'B', [ends[0]]: ends[0] === ends[1] ? 'A B' : 'A' });
    redraw(drawEnds, draw);
  }

  function setWay(value) {
    t = Math.min(Math.max(value, 0), 1);
    way.value = t;
    way.setAttribute('aria-valuetext', `${Math.round(100 * t)} %`);
    redraw(draw);
  }

  // There and back in six seconds; in ten steps where the user wants less motion.
  function advance(now) {
    if (!playing) return;
    const passed = now - last;
    if (!keepsStill.matches || passed > 700) {
      const next = t + direction * (keepsStill.matches ? 0.1 : Math.min(passed, 100) / 3000);
      if (next >= 1 || next <= 0) direction = next >= 1 ? -1 : 1;
      setWay(next);
      last = now;
    }
    requestAnimationFrame(advance);
  }

  function setPlaying(value) {
    playing = value;
    play.textContent = playing ? 'Pause' : 'Play';
    play.setAttribute('aria-pressed', String(playing));
    if (playing) {
      last = performance.now();
      requestAnimationFrame(advance);
    }
  }

  way.addEventListener('input', () => {
    setPlaying(false);
    setWay(way.valueAsNumber);
  });
  play.addEventListener('click', () => setPlaying(!playing));
  byId('choose-a').addEventListener('click', () => setTurn(0));
  byId('choose-b').addEventListener('click', () => setTurn(1));
  setWay(0.5);
  refresh();
  return { draw: () => { drawEnds(); draw(); }, drawStrip: strip.drawAll };
}
