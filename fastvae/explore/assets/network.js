// The model: what the encoder and the decoder compute, one row at a time.
// The formulas are those of fastvae/files/onnx_format.py.

// out = weight x + bias; four sums at a time, which do not wait for each other.
function dense(layer, x) {
  const { nIn, nOut, weight, bias } = layer, out = new Float32Array(nOut);
  const whole = nIn - (nIn % 4);
  for (let o = 0, at = 0; o < nOut; o++) {
    let a = 0, b = 0, c = 0, d = 0, i = 0;
    for (; i < whole; i += 4, at += 4) {
      a += weight[at] * x[i];
      b += weight[at + 1] * x[i + 1];
      c += weight[at + 2] * x[i + 2];
      d += weight[at + 3] * x[i + 3];
    }
    for (; i < nIn; i++, at++) a += weight[at] * x[i];
    out[o] = bias[o] + (a + b + (c + d));
  }
  return out;
}

function sigmoid(v) {
  return 1 / (1 + Math.exp(-v));
}

// 1 / (1 - exp(-l)) - 1 / l; near 0 by its series, with Bernoulli numbers.
function continuousBernoulliMean(l) {
  const size = Math.abs(l);
  if (size < 0.5) {
    const s = l * l;
    return 0.5 + l * (1 / 12 + s * (-1 / 720 + s * (1 / 30240 + s * (-1 / 1209600 + s / 47900160))));
  }
  const e = Math.exp(-size), rest = 1 / size - e / (1 - e); // the distance from 0 or 1
  return l < 0 ? rest : 1 - rest;
}

function makeModel(told) {
  const layerOf = (layer) => layer && {
    ...layer, weight: unpacked(layer.weight), bias: unpacked(layer.bias),
  };
  const model = {
    ...told,
    encoder: told.encoder.map(layerOf),
    decoder: told.decoder.map(layerOf),
    mean: layerOf(told.mean),
    logVar: layerOf(told.logVar),
    prior: layerOf(told.prior),
    mixture: told.mixture && {
      weights: told.mixture.weights,
      means: unpacked(told.mixture.means),
      cholesky: unpacked(told.mixture.cholesky),
    },
  };
  const { nLatent, nClasses, kinds } = model;
  const last = model.decoder[model.decoder.length - 1];

  const activations = {
    identity: (v) => v,
    relu: (v) => (v > 0 ? v : 0),
    leaky_relu: (v) => (v < 0 ? v * model.leakySlope : v),
    tanh: Math.tanh,
    sigmoid,
    softplus: (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))),
  };

  function activate(values, name) {
    if (name === 'identity') return values;
    const f = activations[name];
    for (let i = 0; i < values.length; i++) values[i] = f(values[i]);
    return values;
  }

  function bounded(logVar) {
    return logVar.map((v) => Math.min(Math.max(v, model.logVarMin), model.logVarMax));
  }

  // A row, and behind it the label, one-hot.
  function beside(values, label) {
    if (!nClasses) return values;
    const joined = new Float32Array(values.length + nClasses);
    joined.set(values);
    joined[values.length + label] = 1;
    return joined;
  }

  // What the encoder takes for a row of the data: 0 for what is missing, log(1 + x) for counts.
  function rowInputs(row) {
    const x = Float32Array.from(row);
    let first = 0;
    for (const [kind, n] of kinds) {
      for (let i = first; i < first + n; i++) {
        if (model.ignoresMissing && Number.isNaN(x[i])) x[i] = 0;
        if (kind === 'poisson') x[i] = Math.log1p(x[i]);
      }
      first += n;
    }
    return x;
  }

  // Mean and log-variance of the latents' prior.
  function priorOf(label) {
    if (!model.prior) return { mean: new Float32Array(nLatent), logVar: new Float32Array(nLatent) };
    const both = dense(model.prior, beside(new Float32Array(0), label));
    return { mean: both.slice(0, nLatent), logVar: bounded(both.slice(nLatent)) };
  }

  // Mean and log-variance of the latents' posterior.
  function encode(row, label = 0) {
    let x = beside(rowInputs(row), label);
    for (const layer of model.encoder) x = activate(dense(layer, x), layer.activation);
    const mean = dense(model.mean, x), logVar = bounded(dense(model.logVar, x));
    if (model.prior) { // the head says the posterior relative to the prior
      const prior = priorOf(label);
      for (let i = 0; i < nLatent; i++) {
        mean[i] = prior.mean[i] + Math.exp(prior.logVar[i] / 2) * mean[i];
        logVar[i] += prior.logVar[i];
      }
    }
    return { mean, logVar };
  }

  const means = {
    bernoulli: sigmoid,
    gaussian: activations[last.activation],
    continuous_bernoulli: continuousBernoulliMean,
    poisson: (v) => Math.exp(Math.min(v, model.logRateMax)),
  };

  function softmax(values) {
    const most = values.reduce((a, b) => Math.max(a, b));
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += (values[i] = Math.exp(values[i] - most));
    for (let i = 0; i < values.length; i++) values[i] /= sum;
  }

  // The mean of x of latents.
  function decode(z, label = 0) {
    let x = beside(z, label);
    for (const layer of model.decoder) {
      x = dense(layer, x);
      if (layer !== last) activate(x, layer.activation);
    }
    let first = 0;
    for (const [kind, n] of kinds) {
      if (kind === 'categorical') {
        softmax(x.subarray(first, first + n));
      } else {
        const f = means[kind];
        for (let i = first; i < first + n; i++) x[i] = f(x[i]);
      }
      first += n;
    }
    return x;
  }

  return { ...model, encode, decode, priorOf };
}
