// Ranges of measures that clusters have to lie in, each with a histogram on which one can be drawn.

import { element, labelled, number } from "./words.js";

const BINS = 48;
const [WIDTH, HEIGHT] = [300, 46];
const IN_LOGARITHMS = 50; // times that the largest value is above the smallest

export class Filters {
  constructor(target, about, clusters) {
    Object.assign(this, { target, clusters, parts: new Map() });
    this.list = element("div");
    this.choice = element("select", { id: "measure" }, element("option", { value: "", textContent: "Add a measure …" }));
    for (const { name, meaning } of about.measures) {
      if (name === "cluster_id" || name === "label") continue;
      const { name: text, unit } = labelled(name);
      this.choice.append(element("option", { value: name, title: meaning, textContent: unit ? `${text} (${unit})` : text }));
    }
    this.choice.setAttribute("aria-label", "Add a measure to filter by");
    this.choice.addEventListener("change", () => {
      if (this.choice.value) this.add(this.choice.value, -Infinity, Infinity).then((part) => part.low.focus());
      this.choice.value = "";
    });
    target.replaceChildren(this.list, this.choice);
  }

  async set(ranges) {
    for (const [name, low, high] of ranges) await this.add(name, low, high);
    await this.apply();
  }

  async add(name, low, high) {
    if (this.parts.has(name)) return this.parts.get(name);
    const values = (await this.clusters.column(name)).filter((value) => !Number.isNaN(value));
    const part = new Range(name, histogram(values), low, high, () => this.apply());
    part.remove.addEventListener("click", () => {
      this.parts.delete(name);
      part.root.remove();
      this.choice.focus();
      this.apply();
    });
    this.parts.set(name, part);
    this.list.append(part.root);
    part.draw();
    return part;
  }

  apply() {
    return this.clusters.setRanges([...this.parts].map(([name, part]) => [name, ...part.sides]));
  }

  clear() {
    this.parts.clear();
    this.list.replaceChildren();
    return this.apply();
  }
}

class Range {
  constructor(name, bins, low, high, changed) {
    const { name: text, unit } = labelled(name), label = unit ? `${text} (${unit})` : text;
    Object.assign(this, { bins, changed, sides: [low, high] });
    this.canvas = element("canvas", { width: WIDTH * devicePixelRatio, height: HEIGHT * devicePixelRatio });
    this.low = this.input(`least ${label}`, 0);
    this.high = this.input(`most ${label}`, 1);
    this.remove = element("button", { type: "button", className: "quiet", textContent: "×", title: `Remove ${text}` });
    this.remove.setAttribute("aria-label", `Remove the filter by ${text}`);
    const head = element("div", { className: "line" }, element("b", { textContent: label }), this.remove);
    const sides = element("div", { className: "line" }, this.low, "to", this.high);
    this.root = element("div", { className: "range" }, head, this.canvas, sides);
    this.canvas.addEventListener("pointerdown", (event) => this.drag(event));
  }

  input(label, side) {
    const made = element("input", { type: "number", step: "any" });
    made.setAttribute("aria-label", label);
    made.placeholder = number(side ? this.bins.high : this.bins.low);
    if (Number.isFinite(this.sides[side])) made.value = this.sides[side];
    made.addEventListener("input", () => {
      const open = side ? Infinity : -Infinity;
      this.sides[side] = made.value === "" ? open : Number(made.value);
      this.draw();
      this.changed();
    });
    return made;
  }

  drag(down) {
    const share = (event) => Math.min(1, Math.max(0, event.offsetX / (this.canvas.clientWidth - 1)));
    const rounded = (at) => Number(this.bins.value(at).toPrecision(4)); // which can be beyond the values at an end
    const from = share(down);
    const move = (event) => {
      const [low, high] = [from, share(event)].sort((a, b) => a - b);
      this.sides = [low > 0 ? rounded(low) : -Infinity, high < 1 ? rounded(high) : Infinity];
      [this.low.value, this.high.value] = this.sides.map((side) => (Number.isFinite(side) ? side : ""));
      this.draw();
      this.changed();
    };
    this.canvas.setPointerCapture(down.pointerId);
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", () => this.canvas.removeEventListener("pointermove", move), { once: true });
  }

  draw() {
    const context = this.canvas.getContext("2d"), { width, height } = this.canvas;
    context.clearRect(0, 0, width, height);
    const top = Math.max(1, ...this.bins.counts), step = width / BINS;
    this.bins.counts.forEach((count, k) => {
      const inside = this.bins.value((k + 1) / BINS) >= this.sides[0] && this.bins.value(k / BINS) <= this.sides[1];
      const tall = count ? Math.max(2, (height - 2) * count / top) : 0;
      context.fillStyle = inside ? "#00528a" : "#b9c3cf";
      context.fillRect(k * step, height - tall, step - 1, tall);
    });
  }
}

/** Counts of values in bins of one width, or of one factor where they span much. */
function histogram(values) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const logarithmic = low > 0 && high > IN_LOGARITHMS * low;
  const [from, to] = logarithmic ? [Math.log(low), Math.log(high)] : [low, high];
  const counts = new Array(BINS).fill(0);
  for (const value of values) {
    const at = ((logarithmic ? Math.log(value) : value) - from) / (to - from || 1);
    counts[Math.min(BINS - 1, Math.floor(at * BINS))]++;
  }
  const value = (share) => (logarithmic ? Math.exp(from + share * (to - from)) : from + share * (to - from));
  return { counts, value, low, high };
}
