// What is seen, as the fragment of the page's address: it is never sent to the server.

/** Whether the page has an address: not in a frame that a report fills. */
export const addressed = location.protocol !== "about:";

/** The fragment as a view; what it does not name is null. */
export function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const at = (given.get("at") ?? "").split(",").map(Number);
  const px = Number(given.get("px"));
  const sort = given.get("sort");
  return {
    image: given.get("image"),
    at: at.length === 2 && at.every(Number.isFinite) ? at : null,
    px: px > 0 && Number.isFinite(px) ? px : null,
    cluster: given.has("cluster") ? Number(given.get("cluster")) : null,
    sort: sort ? { name: sort.replace(/^-/, ""), descending: sort.startsWith("-") } : null,
    color: given.get("color"),
    hidden: (given.get("hidden") ?? "").split(",").filter(Boolean).map(Number),
    gain: Number(given.get("gain")) || null,
    ranges: given.getAll("filter").map(range).filter(Boolean),
  };
}

function range(text) {
  const [name, low, high] = text.split(":");
  const sides = [low ? Number(low) : -Infinity, high ? Number(high) : Infinity];
  return name && !sides.some(Number.isNaN) ? [name, ...sides] : null;
}

/** Write a view to the address, in place of the one that is there. */
export function writeAddress(view) {
  if (!addressed) return;
  const found = new URLSearchParams({ image: view.image });
  if (view.at) found.set("at", view.at.map((value) => value.toFixed(1)).join(","));
  if (view.px) found.set("px", String(Number(view.px.toPrecision(4))));
  if (view.cluster !== null) found.set("cluster", String(view.cluster));
  if (view.sort) found.set("sort", (view.sort.descending ? "-" : "") + view.sort.name);
  if (view.color) found.set("color", view.color);
  if (view.hidden.length) found.set("hidden", view.hidden.join(","));
  if (view.gain && view.gain !== 1) found.set("gain", String(view.gain));
  for (const [name, low, high] of view.ranges) {
    found.append("filter", [name, ...[low, high].map((side) => (Number.isFinite(side) ? side : ""))].join(":"));
  }
  history.replaceState(null, "", `#${found.toString().replaceAll("%2C", ",").replaceAll("%3A", ":")}`);
}
