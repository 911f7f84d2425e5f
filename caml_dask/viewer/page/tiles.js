// The layer of counts in pixels, from the pyramid.

import { paintCounts } from "./colors.js";

const KEPT = 96; // tiles whose counts are kept, so that colors can change without asking again

/** `look` has the channels that are `shown` and the `gain` of the brightness. */
export function tileLayer(source, about, projection, look) {
  const side = about.tile_px, counts = new Map();
  const resolutions = about.shapes.map((_, level) => about.pixel_nm * 2 ** level);
  const [x, y] = about.origin_nm, last = resolutions.length - 1;
  const [rows, columns] = about.shapes[0];
  const grid = new ol.TileGrid({
    origin: [x, -y],
    extent: [x, -y - rows * about.pixel_nm, x + columns * about.pixel_nm, -y],
    resolutions: resolutions.toReversed(),
    tileSize: side,
  });

  function keptCounts(level, row, column) {
    const key = `${level}/${row}/${column}`;
    const found = counts.get(key) ?? source.tile(level, row, column);
    counts.delete(key);
    counts.set(key, found); // the latest is the last to go
    found.catch(() => counts.delete(key));
    if (counts.size > KEPT) counts.delete(counts.keys().next().value);
    return found;
  }

  async function load(z, column, row) {
    const level = last - z, canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const found = await keptCounts(level, row, column);
    if (found) {
      const context = canvas.getContext("2d"), picture = context.createImageData(side, side);
      paintCounts(found, picture.data, about.brightest[level], look.shown, look.gain);
      context.putImageData(picture, 0, 0);
    }
    return canvas;
  }

  const tiles = new ol.ImageTileSource({ loader: load, tileGrid: grid, projection, wrapX: false, transition: 0 });
  return new ol.TileLayer({ source: tiles, className: "ol-layer tiles" });
}
