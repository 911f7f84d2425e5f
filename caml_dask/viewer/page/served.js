// A run as the server gives it; `held.js` answers the same of a page that holds its image.

import { unpacked } from "./packed.js";

export const served = {
  run: () => json("run"),
  picture: (imageId) => `images/${encodeURIComponent(imageId)}/picture`,
  state: (imageId) => json(`images/${encodeURIComponent(imageId)}/state`),
  open(imageId, digest) {
    const base = `images/${encodeURIComponent(imageId)}/${digest}`;
    return {
      about: () => json(`${base}/about`),
      row: (row) => json(`${base}/rows/${row}`),
      outline: async (row, px) => (await json(`${base}/rows/${row}/outline?px=${px}`)).outline,
      column: async (name) => (await message(`${base}/columns/${name}`)).arrays.values,
      tile: async (level, row, column) => (await message(`${base}/tiles/${level}/${row}/${column}`)).arrays.counts,
      points: (box, signal) => message(`${base}/points?box=${box.join(",")}`, signal),
      outlines(box, px, ranges, signal) {
        const filters = ranges.map(([name, low, high]) => `&filter=${name}:${side(low)}:${side(high)}`).join("");
        return json(`${base}/outlines?box=${box.join(",")}&px=${px}${filters}`, signal);
      },
    };
  },
};

function side(value) {
  return Number.isFinite(value) ? String(value) : "";
}

async function answer(address, signal) {
  const found = await fetch(address, { signal }).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("caml-dask view does not answer: has it ended?");
  });
  if (found.ok) return found;
  const told = await found.json().catch(() => ({}));
  throw new Error(told.error ?? `the server answered ${found.status}`);
}

async function json(address, signal) {
  return (await answer(address, signal)).json();
}

async function message(address, signal) {
  return unpacked(await (await answer(address, signal)).arrayBuffer());
}
