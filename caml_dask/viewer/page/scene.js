// The map of an image: its layers, how it is moved, and what is under the pointer. x and y are in nm; y points down.

import { Dots } from "./dots.js";
import { Shapes } from "./shapes.js";
import { tileLayer } from "./tiles.js";

const FINEST_NM = 0.02; // per pixel of the screen
const HIT_PX = 7;
const SETTLED_MS = 120; // for which a moving view has to rest before it is asked for
const MOVE_MS = 350;
const STEP = 0.25; // of the view, by a key

/** Tells of "moved" and "covered", and of "pointed" and "failed" with what is there, or the error, as their detail. */
export class Scene extends EventTarget {
  constructor(target, source, about, clusters, look) {
    super();
    const [x0, y0, x1, y1] = about.bounds_nm;
    this.home = [x0, y0, x1, y1];
    this.clusters = clusters;
    const projection = new ol.Projection({ code: "nm", units: "m", extent: [x0, -y1, x1, -y0] });
    this.view = new ol.View({
      projection,
      center: [(x0 + x1) / 2, -(y0 + y1) / 2],
      resolution: 1,
      minResolution: FINEST_NM,
      maxResolution: Math.max(x1 - x0, y1 - y0, 100) / 50,
      enableRotation: false,
      constrainOnlyCenter: true,
      extent: [x0, -y1, x1, -y0],
      smoothExtentConstraint: false,
    });
    this.tiles = tileLayer(source, about, projection, look);
    this.dots = new Dots(source, about, projection, clusters, look);
    this.shapes = new Shapes(source, about, clusters);
    this.map = new ol.Map({
      target,
      layers: [this.tiles, this.dots.layer, ...this.shapes.layers],
      view: this.view,
      controls: [],
      interactions: ol.interactions(), // by default, a map that can have the focus moves only while it has it
    });
    this.view.on("change", () => this.settle());
    this.map.on("change:size", () => this.settle());
    this.map.on("pointermove", (event) => event.dragging || this.point(event.coordinate));
    this.map.on("click", (event) => this.click(event.coordinate));
    for (const part of [this.dots, this.shapes]) part.addEventListener("changed", () => this.covered());
    clusters.addEventListener("filtered", () => (this.dots.repaint(), this.settle()));
  }

  /** x0, y0, x1, y1 of what is seen. */
  box() {
    const [x0, y0, x1, y1] = this.view.calculateExtent(this.map.getSize());
    return [x0, -y1, x1, -y0];
  }

  px() {
    return this.view.getResolution();
  }

  settle() {
    this.covered();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      if (!this.map.getSize()?.every((side) => side > 0)) return;
      this.dispatchEvent(new Event("moved"));
      const see = [this.dots.see(this.box()), this.shapes.see(this.box(), this.px())];
      Promise.all(see).catch((error) => this.dispatchEvent(new CustomEvent("failed", { detail: error })));
    }, SETTLED_MS);
  }

  /** Pixels are drawn only where dots are not. */
  covered() {
    const dotted = this.dots.covers(this.box());
    this.tiles.setVisible(!dotted);
    this.dots.layer.setVisible(dotted);
    this.dispatchEvent(new Event("covered"));
  }

  whole() {
    this.fit(this.home, 0.04);
  }

  /** Show a box, with a margin as a share of its sides. */
  fit([x0, y0, x1, y1], margin, duration = 0) {
    const dx = margin * Math.max(x1 - x0, 1), dy = margin * Math.max(y1 - y0, 1);
    this.view.fit([x0 - dx, -y1 - dy, x1 + dx, -y0 + dy], { duration });
  }

  async fitCluster(row) {
    const [x0, y0, x1, y1] = await this.clusters.bounds(row);
    const half = 1.6 * Math.max(x1 - x0, y1 - y0, 40) / 2, x = (x0 + x1) / 2, y = (y0 + y1) / 2;
    this.fit([x - half, y - half, x + half, y + half], 0, MOVE_MS);
  }

  look(at, px) {
    this.view.setCenter([at[0], -at[1]]);
    this.view.setResolution(px);
  }

  center() {
    const [x, y] = this.view.getCenter();
    return [x, -y];
  }

  /** Move by shares of the view. */
  pan(right, down) {
    const [width, height] = this.map.getSize(), [x, y] = this.view.getCenter();
    const by = STEP * this.px();
    this.view.animate({ center: [x + right * width * by, y - down * height * by], duration: MOVE_MS / 2 });
  }

  zoom(factor) {
    this.view.animate({ resolution: this.px() / factor, duration: MOVE_MS / 2 });
  }

  point([x, y]) {
    this.dispatchEvent(new CustomEvent("pointed", { detail: { x, y: -y, dot: this.dotAt(x, -y) } }));
  }

  dotAt(x, y) {
    return this.dots.layer.getVisible() ? this.dots.nearest(x, y, HIT_PX * this.px()) : -1;
  }

  click([x, y]) {
    const dot = this.dotAt(x, -y), row = this.shapes.at(x, -y);
    this.clusters.select(row >= 0 || dot < 0 ? row : this.dots.found.arrays.cluster[dot]);
  }

  repaint() {
    this.tiles.getSource().refresh();
    this.dots.repaint();
  }

  close() {
    clearTimeout(this.settling);
    this.map.setTarget(null);
    this.map.dispose();
  }
}
