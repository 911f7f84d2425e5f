// The table of clusters that pass, a page of it at a time.

import { element, labelled, number } from "./words.js";

const ROWS = 50;
const FIRST = ["cluster_id", "n_localizations", "area_nm2", "volume_nm3", "density_per_um2", "density_per_um3",
  "radius_of_gyration_nm", "q_value"];

/** Tells of "chosen" when a row is asked to be shown on the map. */
export class Table extends EventTarget {
  constructor(parts, about, clusters) {
    super();
    Object.assign(this, { ...parts, clusters, page: 0, closed: false });
    const known = about.measures.map(({ name }) => name);
    this.meanings = new Map(about.measures.map(({ name, meaning }) => [name, meaning]));
    this.columns = FIRST.filter((name) => known.includes(name));
    this.rest = known.filter((name) => !this.columns.includes(name));
    this.listen(this.before, "click", () => this.turn(-1));
    this.listen(this.after, "click", () => this.turn(1));
    this.listen(this.body, "click", (event) => this.pick(event));
    this.listen(this.body, "keydown", (event) => this.key(event));
    clusters.addEventListener("sorted", () => this.reveal(clusters.selected));
    clusters.addEventListener("selected", () => this.reveal(clusters.selected));
    this.header();
  }

  listen(part, event, act) {
    part[`on${event}`] = act; // one table at a time
  }

  header() {
    const cells = this.columns.map((name) => {
      const { name: text, unit } = labelled(name), { sort } = this.clusters;
      const button = element("button", { type: "button", title: this.meanings.get(name) ?? "" }, text);
      if (unit) button.append(element("span", { className: "unit", textContent: unit }));
      const cell = element("th", { scope: "col" }, button);
      if (sort.name === name) cell.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
      button.addEventListener("click", () => {
        this.page = 0;
        const again = this.clusters.sort.name === name;
        this.clusters.setSort(name, again ? !this.clusters.sort.descending : name !== "cluster_id");
      });
      return cell;
    });
    this.head.replaceChildren(element("tr", {}, ...cells));
  }

  /** Go to the page that holds a row, if there is one. */
  reveal(row) {
    const place = row < 0 ? -1 : this.clusters.order.indexOf(row);
    if (place >= 0) this.page = Math.floor(place / ROWS);
    this.page = Math.min(this.page, this.pages() - 1);
    return this.fill();
  }

  pages() {
    return Math.max(1, Math.ceil(this.clusters.order.length / ROWS));
  }

  turn(by) {
    this.page = Math.min(this.pages() - 1, Math.max(0, this.page + by));
    return this.fill();
  }

  async fill() {
    const values = await Promise.all(this.columns.map((name) => this.clusters.column(name)));
    if (this.closed) return;
    this.header();
    const { order, selected } = this.clusters, first = this.page * ROWS;
    const rows = [...order.subarray(first, first + ROWS)].map((row) => {
      const cells = values.map((column, k) =>
        element("td", { textContent: this.columns[k] === "cluster_id" ? String(column[row]) : number(column[row]) }));
      const made = element("tr", { tabIndex: -1 }, ...cells);
      made.dataset.row = row;
      made.setAttribute("aria-selected", row === selected);
      return made;
    });
    const focused = this.body.contains(document.activeElement);
    this.body.replaceChildren(...rows);
    const chosen = this.body.querySelector("[aria-selected=true]") ?? this.body.firstElementChild;
    if (chosen) chosen.tabIndex = 0;
    if (focused) chosen?.focus({ preventScroll: true });
    if (selected >= 0) chosen?.scrollIntoView({ block: "nearest" });
    this.before.disabled = this.page === 0;
    this.after.disabled = this.page >= this.pages() - 1;
    const last = Math.min(first + ROWS, order.length);
    this.where.textContent = order.length ? `${number(first + 1)}–${number(last)} of ${number(order.length)}` : "none";
  }

  close() {
    this.closed = true; // its parts are another table's now
  }

  pick(event) {
    const row = event.target.closest("tr")?.dataset.row;
    if (row !== undefined) this.show(Number(row));
  }

  show(row) {
    this.clusters.select(row);
    this.dispatchEvent(new CustomEvent("chosen", { detail: row }));
  }

  /** Select the next row, or the one before, in the order of the table. */
  step(by) {
    const { order, selected } = this.clusters;
    if (!order.length) return;
    const place = order.indexOf(selected);
    this.show(order[place < 0 ? 0 : Math.min(order.length - 1, Math.max(0, place + by))]);
  }

  key(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: ROWS, PageUp: -ROWS };
    if (event.key in moves) this.step(moves[event.key]);
    else if (event.key === "Enter") this.pick(event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
