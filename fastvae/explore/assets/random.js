// Random numbers: the same on each visit, as the page is to show the same at first.

function makeRandom(seed) {
  let state = seed >>> 0;

  // In [0, 1): mulberry32 of Tommy Ettinger, in the public domain.
  function uniform() {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  // Box and Muller (1958).
  function normal() {
    return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  }

  function normals(n) {
    return Float32Array.from({ length: n }, normal);
  }

  // Latents of the prior.
  function ofPrior(model, label) {
    const { mean, logVar } = model.priorOf(label);
    return normals(model.nLatent).map((e, i) => mean[i] + Math.exp(logVar[i] / 2) * e);
  }

  // Latents of the mixture that is fitted to encodings.
  function ofMixture({ mixture, nLatent }) {
    let left = uniform(), c = 0;
    while (c < mixture.weights.length - 1 && left >= mixture.weights[c]) left -= mixture.weights[c++];
    const noise = normals(nLatent);
    return noise.map((_, i) => {
      let v = mixture.means[c * nLatent + i];
      for (let k = 0; k <= i; k++) v += mixture.cholesky[(c * nLatent + i) * nLatent + k] * noise[k];
      return v;
    });
  }

  return { ofPrior, ofMixture };
}
