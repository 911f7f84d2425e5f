// Outlines of clusters: those that a view has, and the one that is selected.

import { OUTLINE, SELECTED } from "./colors.js";

const PADDED = 0.5; // of the view on each side
const FINER = 1.5; // times closer or farther, from which outlines are asked for again
const MARKED_PX = 18; // side of the square around a selected cluster that is too small to be seen
const SHARES = 500; // of the width of the selected cluster, by which its outline may be off

const PLAIN = new ol.Style({ stroke: new ol.Stroke({ color: OUTLINE, width: 1.2 }) });
const CHOSEN = [
  new ol.Style({ stroke: new ol.Stroke({ color: "rgba(0,0,0,0.8)", width: 5.5 }) }),
  new ol.Style({ stroke: new ol.Stroke({ color: SELECTED, width: 2.5 }) }),
];

/** Asks for outlines as the view moves; tells of "changed". */
export class Shapes extends EventTarget {
  constructor(source, about, clusters) {
    super();
    Object.assign(this, { source, about, clusters, asked: null, asking: null, total: null, shown: 0 });
    this.outlines = new ol.VectorSource({ wrapX: false });
    this.chosen = new ol.VectorSource({ wrapX: false });
    this.layers = [
      new ol.VectorLayer({ source: this.outlines, style: PLAIN, className: "ol-layer outlines" }),
      new ol.VectorLayer({ source: this.chosen, style: chosenStyle, className: "ol-layer chosen" }),
    ];
    clusters.addEventListener("filtered", () => (this.asked = null));
    clusters.addEventListener("selected", () => this.choose());
  }

  async see(view, px) {
    const last = this.asked;
    const near = last && px < last.px * FINER && px > last.px / FINER;
    if (near && last.box[0] <= view[0] && last.box[1] <= view[1] && last.box[2] >= view[2] && last.box[3] >= view[3]) {
      return;
    }
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const [width, height] = [view[2] - view[0], view[3] - view[1]].map((side) => PADDED * side);
    const padded = [view[0] - width, view[1] - height, view[2] + width, view[3] + height];
    try {
      let box = padded, found = await this.source.outlines(padded, px, this.clusters.rangeList(), asking.signal);
      if (found.total > this.about.most_outlines) {
        box = view;
        found = await this.source.outlines(view, px, this.clusters.rangeList(), asking.signal);
      }
      this.asked = { box, px };
      this.total = found.total;
      this.shown = found.outlines.length;
      this.outlines.clear(true);
      this.outlines.addFeatures(found.outlines.map(feature));
      this.dispatchEvent(new Event("changed"));
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }

  /** Draw the selected cluster, whatever the view shows. */
  async choose() {
    const row = this.clusters.selected;
    this.chosen.clear();
    if (row < 0) return;
    const box = await this.clusters.bounds(row);
    const wide = Math.max(box[2] - box[0], box[3] - box[1]);
    const mine = wide > 0 ? await this.source.outline(row, wide / SHARES) : null;
    if (this.clusters.selected !== row) return;
    const [x, y] = [(box[0] + box[2]) / 2, -(box[1] + box[3]) / 2];
    const point = new ol.Feature(new ol.MultiPolygon([[[[x, y], [x, y], [x, y]]]]));
    this.chosen.addFeature(mine ? feature(mine) : point);
  }

  /** Row of the smallest cluster whose outline is drawn around a place; -1 for none. */
  at(x, y) {
    const size = (found) => found.getGeometry().getArea();
    const around = this.outlines.getFeaturesAtCoordinate([x, -y]).sort((a, b) => size(a) - size(b));
    return around.length ? around[0].get("row") : -1;
  }
}

function feature({ row, at, unit, parts }) {
  const ring = (numbers) => {
    const corners = [];
    for (let k = 0; k < numbers.length; k += 2) corners.push([at[0] + numbers[k] * unit, -(at[1] + numbers[k + 1] * unit)]);
    return corners;
  };
  return new ol.Feature({ row, geometry: new ol.MultiPolygon(parts.map((rings) => rings.map(ring))) });
}

function chosenStyle(found, resolution) {
  const [x0, y0, x1, y1] = found.getGeometry().getExtent();
  if (Math.max(x1 - x0, y1 - y0) >= MARKED_PX * resolution) return CHOSEN;
  const half = (MARKED_PX / 2) * resolution, x = (x0 + x1) / 2, y = (y0 + y1) / 2;
  const square = [[-half, -half], [half, -half], [half, half], [-half, half], [-half, -half]];
  const geometry = new ol.MultiPolygon([[square.map(([dx, dy]) => [x + dx, y + dy])]]);
  return CHOSEN.map((style) => new ol.Style({ stroke: style.getStroke(), geometry }));
}
