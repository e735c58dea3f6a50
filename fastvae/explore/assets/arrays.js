// Arrays as the file holds them: base64 of little-endian numbers.

function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// All 65,536 values of float16: looking them up is faster than computing them.
let halves = null;

function halfTable() {
  if (halves === null) {
    halves = new Float32Array(65536);
    for (let code = 0; code < 65536; code++) {
      const exponent = (code >> 10) & 31, fraction = code & 1023;
      const size = exponent === 0 ? fraction * 2 ** -24
        : exponent === 31 ? (fraction ? NaN : Infinity)
          : (1024 + fraction) * 2 ** (exponent - 25);
      halves[code] = code & 0x8000 ? -size : size;
    }
  }
  return halves;
}

// What `packed` of fastvae/explore/weights.py wrote, as numbers; float16 become float32.
function unpacked(array) {
  const bytes = bytesOf(array.data);
  if (array.type === 'uint8') return bytes;
  if (array.type === 'float32') return new Float32Array(bytes.buffer);
  const codes = new Uint16Array(bytes.buffer), table = halfTable();
  return Float32Array.from(codes, (code) => table[code]);
}
