// The layer of single localizations, where a view has few enough of them.

import { dotColors } from "./colors.js";

const PADDED = 0.5; // of the view on each side, so that panning does not ask at once
const DOT_NM = 4;
const DOT_PX = [1, 6];
const DIM = 0.25; // of localizations of clusters that are filtered out

/** Asks for localizations as the view moves and draws them; tells of "changed". */
export class Dots extends EventTarget {
  constructor(source, about, projection, clusters, look) {
    super();
    Object.assign(this, { source, about, clusters, look, found: null, box: null, total: null, asking: null });
    const canvas = new ol.ImageCanvasSource({
      canvasFunction: (extent, resolution, ratio, size) => this.draw(extent, resolution, ratio, size),
      projection,
      ratio: 1.3,
    });
    this.layer = new ol.ImageLayer({ source: canvas, className: "ol-layer dots" });
  }

  /** Ask for what a view, x0, y0, x1, y1 in nm, needs. */
  async see(view) {
    if (this.covers(view)) return;
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    try {
      const [width, height] = [view[2] - view[0], view[3] - view[1]].map((side) => PADDED * side);
      const padded = [view[0] - width, view[1] - height, view[2] + width, view[3] + height];
      let box = padded, found = await this.source.points(padded, asking.signal);
      if (!found.arrays.x_nm && found.total < 12 * this.about.most_points) {
        box = view;
        found = await this.source.points(view, asking.signal);
      }
      this.total = found.total;
      this.found = found.arrays.x_nm ? found : null;
      this.box = this.found && box;
      this.repaint();
      this.dispatchEvent(new Event("changed"));
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }

  /** Whether all of a view is drawn as dots. */
  covers(view) {
    const box = this.box;
    return box !== null && box[0] <= view[0] && box[1] <= view[1] && box[2] >= view[2] && box[3] >= view[3];
  }

  repaint() {
    this.layer.getSource().changed();
  }

  radius(resolution) {
    return Math.min(DOT_PX[1], Math.max(DOT_PX[0], DOT_NM / resolution));
  }

  /** Color of each dot, and whether it is dimmed: its cluster is filtered out. */
  painted() {
    const { x_nm, cluster } = this.found.arrays, { passing } = this.clusters;
    const { palette, of } = dotColors(this.look.color, this.found.arrays, x_nm.length);
    return { palette, of, dim: Uint8Array.from(cluster, (row) => (row >= 0 && !passing[row] ? 1 : 0)) };
  }

  draw(extent, resolution, ratio, size) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = size.map(Math.round);
    if (!this.found) return canvas;
    const context = canvas.getContext("2d"), { palette, of, dim } = this.painted();
    const { x_nm, y_nm, channel } = this.found.arrays, { at } = this.found, { shown } = this.look;
    const scale = ratio / resolution, radius = this.radius(resolution) * ratio;
    const left = (at[0] - extent[0]) * scale, top = (at[1] + extent[3]) * scale;
    for (const dimmed of [1, 0]) {
      context.globalAlpha = dimmed ? DIM : 0.9;
      palette.forEach((color, k) => {
        context.fillStyle = color;
        context.beginPath();
        for (let i = 0; i < of.length; i++) {
          if (of[i] !== k || dim[i] !== dimmed || !shown[channel[i]]) continue;
          const x = left + x_nm[i] * scale, y = top + y_nm[i] * scale;
          if (x < -radius || y < -radius || x > canvas.width + radius || y > canvas.height + radius) continue;
          if (radius < 2) context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
          else context.moveTo(x + radius, y), context.arc(x, y, radius, 0, 7);
        }
        context.fill();
      });
    }
    return canvas;
  }

  /** Number of the dot nearest to a place, within a distance in nm; -1 for none. */
  nearest(x, y, within) {
    if (!this.found) return -1;
    const { x_nm, y_nm, channel } = this.found.arrays, { at } = this.found;
    let best = within ** 2, found = -1;
    for (let i = 0; i < x_nm.length; i++) {
      const squared = (x_nm[i] + at[0] - x) ** 2 + (y_nm[i] + at[1] - y) ** 2;
      if (squared <= best && this.look.shown[channel[i]]) [best, found] = [squared, i];
    }
    return found;
  }
}
