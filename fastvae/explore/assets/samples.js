// A dozen samples, of the prior or of the mixture.

function startSamples(page) {
  const { model, look } = page, place = byId('dozen'), source = byId('source'), all = byId('all-classes');
  byId('sources').hidden = !model.mixture;
  byId('of-all').hidden = !model.nClasses;
  place.classList.toggle('wide', !page.image);
  const cells = Array.from({ length: 12 }, () => {
    const canvas = make('canvas', { 'aria-hidden': 'true' });
    const button = make('button', { type: 'button' }, canvas);
    const cell = { canvas, button, z: null, label: 0 };
    button.addEventListener('click', () => {
      page.setLabel(cell.label);
      page.toLatents(cell.z);
    });
    place.append(button);
    return cell;
  });

  function draw() {
    for (const { canvas, z, label } of cells) look.sample(canvas, model.decode(z, label));
  }

  function again() {
    cells.forEach((cell, i) => {
      cell.label = model.nClasses && all.checked ? i % model.nClasses : page.label;
      cell.z = source.value === 'mixture' ? page.random.ofMixture(model)
        : page.random.ofPrior(model, cell.label);
      const of = model.nClasses ? ` of class ${page.className(cell.label)}` : '';
      cell.button.setAttribute('aria-label', `Sample ${i + 1}${of}: take it to the latent space`);
      cell.button.title = `Take to the latent space${of}`;
    });
    redraw(draw);
  }

  byId('again').addEventListener('click', again);
  source.addEventListener('change', again);
  all.addEventListener('change', again);
  again();
  return { draw, again };
}
