// Reads the messages that caml_dask/viewer/packing.py writes.

const TYPES = {
  i1: Int8Array, u1: Uint8Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array,
};

/** The header of a message, whose `arrays` are typed arrays by their names. */
export function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const [name, { type, shape, offset }] of Object.entries(about.arrays)) {
    const size = shape.reduce((product, side) => product * side, 1);
    arrays[name] = new TYPES[type](buffer, 4 + length + offset, size);
  }
  return { ...about, arrays };
}
