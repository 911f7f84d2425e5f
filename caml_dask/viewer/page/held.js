// An image that the page holds itself, written by `caml-dask view --static`: answers as `served.js` does.

import { unpacked } from "./packed.js";

/** What the page holds, where it holds something; otherwise what is given. */
export function heldOr(served) {
  const about = document.getElementById("held-about");
  return about ? held(JSON.parse(about.textContent)) : served;
}

function held({ title, image, about, rings }) {
  const points = part("held-points"), columns = part("held-columns");
  return {
    run: async () => ({ title, images: [image], error: null }),
    picture: () => "data:,",
    state: async () => ({ state: "ready", digest: "" }),
    open: () => ({
      about: async () => about,
      column: async (name) => (await columns).arrays[name],
      row: async (row) => Object.fromEntries(await Promise.all(
        about.measures.map(async ({ name }) => [name, orNull((await columns).arrays[name][row])]))),
      outline: async (row) => rings.find((ring) => ring.row === row) ?? null,
      tile: async (level, row, column) => count(about, (await points).arrays, level, row, column),
      points: async (box) => inside(await points, box, about.most_points),
      outlines: async (box, px, ranges) => seen(rings, (await columns).arrays, box, px * about.least_px, ranges),
    }),
  };
}

async function part(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return unpacked(await new Response(stream).arrayBuffer());
}

function orNull(value) {
  return Number.isNaN(value) ? null : value;
}

/** Counts of a tile, as the pyramid has them: what lies beyond it counts at its rim. */
function count(about, { x_nm, y_nm, channel }, level, row, column) {
  const side = about.tile_px, pixel = about.pixel_nm * 2 ** level;
  const counts = new Uint32Array(about.channels.length * side * side), [rows, columns] = about.shapes[level];
  const within = (place, most) => Math.min(most - 1, Math.max(0, place));
  for (let i = 0; i < x_nm.length; i++) {
    const x = within(Math.floor((x_nm[i] - about.origin_nm[0]) / pixel), columns) - column * side;
    const y = within(Math.floor((y_nm[i] - about.origin_nm[1]) / pixel), rows) - row * side;
    if (x >= 0 && y >= 0 && x < side && y < side) counts[(channel[i] * side + y) * side + x]++;
  }
  return counts;
}

function inside({ arrays }, [x0, y0, x1, y1], most) {
  const { x_nm, y_nm } = arrays, rows = [];
  for (let i = 0; i < x_nm.length; i++) {
    if (x_nm[i] >= x0 && x_nm[i] <= x1 && y_nm[i] >= y0 && y_nm[i] <= y1) rows.push(i);
  }
  if (rows.length > most) return { total: rows.length, at: [x0, y0], arrays: {} };
  const taken = Object.entries(arrays).map(([name, values]) => [name, values.constructor.from(rows, (i) => values[i])]);
  return { total: rows.length, at: [0, 0], arrays: Object.fromEntries(taken) };
}

function seen(rings, columns, [bx0, by0, bx1, by1], least, ranges) {
  const { x0_nm, y0_nm, x1_nm, y1_nm } = columns;
  const outlines = rings.filter(({ row }) =>
    x0_nm[row] <= bx1 && x1_nm[row] >= bx0 && y0_nm[row] <= by1 && y1_nm[row] >= by0 &&
    Math.max(x1_nm[row] - x0_nm[row], y1_nm[row] - y0_nm[row]) >= least &&
    ranges.every(([name, low, high]) => columns[name][row] >= low && columns[name][row] <= high));
  return { total: outlines.length, outlines };
}
