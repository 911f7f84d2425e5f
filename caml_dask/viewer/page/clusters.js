// The table of clusters: its columns, the ranges that clusters have to lie in, their order, and the one selected.

/** Tells of "filtered", "sorted" and "selected"; rows are numbers of rows of the whole table. */
export class Clusters extends EventTarget {
  constructor(source, about) {
    super();
    this.source = source;
    this.total = about.rows;
    this.ranges = new Map(); // measure to [low, high]
    this.passing = new Uint8Array(this.total).fill(1);
    this.count = this.total;
    this.sort = { name: "cluster_id", descending: false };
    this.order = Int32Array.from({ length: this.total }, (_, row) => row);
    this.selected = -1;
    this.columns = new Map();
  }

  /** (clusters,) Float64Array of a column, asked for once unless that fails. */
  column(name) {
    if (!this.columns.has(name)) {
      const asked = this.source.column(name);
      asked.catch(() => this.columns.delete(name));
      this.columns.set(name, asked);
    }
    return this.columns.get(name);
  }

  rangeList() {
    return [...this.ranges].map(([name, [low, high]]) => [name, low, high]);
  }

  async setRanges(ranges) {
    this.ranges = new Map(ranges.map(([name, low, high]) => [name, [low, high]]));
    const wanted = this.ranges;
    const columns = await Promise.all([...wanted.keys()].map((name) => this.column(name)));
    if (this.ranges !== wanted) return; // changed again meanwhile
    const passing = new Uint8Array(this.total).fill(1);
    [...wanted.values()].forEach(([low, high], k) => {
      const values = columns[k];
      for (let row = 0; row < passing.length; row++) passing[row] &= values[row] >= low && values[row] <= high;
    });
    this.passing = passing;
    this.count = passing.reduce((sum, one) => sum + one, 0);
    this.dispatchEvent(new Event("filtered"));
    await this.setSort(this.sort.name, this.sort.descending);
  }

  /** Order the rows that pass; null comes last, and equal values in the order of cluster_id. */
  async setSort(name, descending) {
    const wanted = (this.sort = { name, descending });
    const values = await this.column(name), sign = descending ? -1 : 1;
    if (this.sort !== wanted) return; // changed again meanwhile
    const key = (row) => (Number.isNaN(values[row]) ? Infinity : sign * values[row]);
    const order = new Int32Array(this.count);
    let filled = 0;
    for (let row = 0; row < this.total && filled < this.count; row++) if (this.passing[row]) order[filled++] = row;
    if (name !== "cluster_id" || descending) {
      const keys = Float64Array.from({ length: this.total }, (_, row) => key(row));
      order.sort((a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : a - b));
    }
    this.order = order;
    this.dispatchEvent(new Event("sorted"));
  }

  select(row) {
    if (row === this.selected) return;
    this.selected = row;
    this.dispatchEvent(new Event("selected"));
  }

  /** Row that a cluster_id has; -1 for none. */
  async rowOf(clusterId) {
    const ids = await this.column("cluster_id");
    let low = 0, high = ids.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ids[middle] < clusterId) low = middle + 1;
      else high = middle;
    }
    return ids[low] === clusterId ? low : -1;
  }

  /** x0, y0, x1, y1 in nm of the outline of a cluster, or its centroid where it has none. */
  async bounds(row) {
    const sides = await Promise.all(["x0_nm", "y0_nm", "x1_nm", "y1_nm"].map((name) => this.column(name)));
    if (!Number.isNaN(sides[0][row])) return sides.map((side) => side[row]);
    const [x, y] = await Promise.all(["centroid_x_nm", "centroid_y_nm"].map((name) => this.column(name)));
    return [x[row], y[row], x[row], y[row]];
  }
}
