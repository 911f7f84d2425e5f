// The page: which image is open, and what of it is seen.

import { addressed, readAddress, writeAddress } from "./address.js";
import { channelColor, scoreColors } from "./colors.js";
import { Clusters } from "./clusters.js";
import { Filters } from "./filters.js";
import { fillGallery } from "./gallery.js";
import { heldOr } from "./held.js";
import { Scene } from "./scene.js";
import { savePng, saveSvg, scaleBar } from "./save.js";
import { served } from "./served.js";
import { Table } from "./table.js";
import { element, labelled, number } from "./words.js";

const ASK_AGAIN_MS = 700;
const by = (id) => document.getElementById(id);
const source = heldOr(served);
let run = null, open = null;
let turn = 0; // which image, or the gallery, was asked for last; whoever waited for an earlier one does no more

async function start() {
  const mine = ++turn;
  run = await source.run();
  if (mine !== turn) return;
  by("title").textContent = document.title = run.title;
  if (run.error) return trouble(run.error);
  const wanted = readAddress().image;
  if (wanted && run.images.some((image) => image.image_id === wanted && image.status === "done")) return show(wanted);
  if (wanted) trouble(`There is no image ${wanted}, or it is not done.`);
  const [first, ...others] = run.images;
  if (first && !others.length && first.status === "done") return show(first.image_id);
  gallery();
}

function only(id) {
  for (const part of ["gallery", "preparing", "viewer"]) by(part).hidden = part !== id;
  by("tools").hidden = id !== "viewer";
  by("back").hidden = id === "gallery" || run.images.length === 1;
}

function trouble(text) {
  by("trouble").textContent = text ?? "";
  by("trouble").hidden = !text;
}

function gallery() {
  close();
  by("title").textContent = document.title = run.title;
  by("figures").textContent = "";
  fillGallery(by("gallery"), run, source, (imageId) => {
    history.pushState(null, "", `#image=${encodeURIComponent(imageId)}`);
    trouble();
    show(imageId).catch(failed);
  });
  only("gallery");
}

function close() {
  turn++;
  open?.scene.close();
  open?.table.close();
  open = null;
}

async function show(imageId) {
  close();
  const mine = turn;
  by("title").textContent = document.title = imageId;
  by("figures").textContent = "";
  only("preparing");
  let state = await source.state(imageId);
  while (mine === turn && state.state === "preparing") {
    by("stage").textContent = `Ordering the localizations of ${imageId} by place, once …`;
    by("share").value = state.share;
    await new Promise((done) => setTimeout(done, ASK_AGAIN_MS));
    if (mine === turn) state = await source.state(imageId);
  }
  if (mine !== turn) return;
  if (state.state === "failed") {
    if (run.images.length > 1) gallery();
    else only("");
    return trouble(`${imageId} cannot be shown: ${state.error}`);
  }
  const of = source.open(imageId, state.digest);
  const about = await of.about();
  if (mine === turn) await lay(imageId, of, about);
}

async function lay(imageId, of, about) {
  const wanted = readAddress(), mine = turn;
  const known = (name) => about.measures.some((measure) => measure.name === name);
  const shown = about.channels.map((_, channel) => !wanted.hidden.includes(channel));
  const color = ["class", "cluster", ...(about.has_score ? ["score"] : [])].find((name) => name === wanted.color);
  const look = { shown, gain: wanted.gain ?? 1, color: color ?? "class" };
  only("viewer");
  const clusters = new Clusters(of, about);
  const scene = new Scene(by("map"), of, about, clusters, look);
  const parts = { head: document.querySelector("thead"), body: document.querySelector("tbody"), before: by("before"),
    after: by("after"), where: by("where") };
  const table = new Table(parts, about, clusters), filters = new Filters(by("filters"), about, clusters);
  open = { imageId, of, about, clusters, scene, look, table, filters, clusterId: null };
  by("figures").textContent = `${number(about.localizations)} localizations, ${number(about.percent_clustered)} % ` +
    `clustered, ${number(about.clusters)} clusters, by ${about.by}`;
  looks(open);
  warnings(about.warnings);
  follow(open);
  if (wanted.sort && known(wanted.sort.name)) Object.assign(clusters.sort, wanted.sort);
  await filters.set(wanted.ranges.filter(([name]) => known(name)));
  if (mine !== turn) return;
  if (wanted.at && wanted.px) scene.look(wanted.at, wanted.px);
  else scene.whole();
  if (wanted.cluster !== null) {
    const row = await clusters.rowOf(wanted.cluster);
    if (mine !== turn) return;
    if (row >= 0 && !wanted.at) scene.fitCluster(row);
    clusters.select(row);
  }
}

/** Keep the page and its address as the view is, until another is asked for. */
function follow({ scene, clusters, table }) {
  const mine = turn, still = (act) => (event) => mine === turn && act(event);
  scene.addEventListener("moved", still(note));
  scene.addEventListener("covered", still(drawn));
  scene.dots.addEventListener("changed", still(() => trouble()));
  scene.addEventListener("failed", still(({ detail }) => trouble(detail.message)));
  scene.addEventListener("pointed", still(({ detail }) => (by("pointed").textContent = pointed(detail))));
  scene.view.on("change:resolution", still(drawn));
  clusters.addEventListener("filtered", still(counted));
  clusters.addEventListener("sorted", still(note));
  clusters.addEventListener("selected", still(selected));
  table.addEventListener("chosen", still(({ detail }) => scene.fitCluster(detail)));
}

function note() {
  const { imageId, scene, clusters, look, clusterId } = open;
  writeAddress({
    image: imageId,
    at: scene.center(),
    px: scene.px(),
    cluster: clusterId,
    sort: clusters.sort.name === "cluster_id" && !clusters.sort.descending ? null : clusters.sort,
    color: look.color === "class" ? null : look.color,
    hidden: look.shown.flatMap((shown, channel) => (shown ? [] : [channel])),
    gain: look.gain,
    ranges: clusters.rangeList(),
  });
}

function drawn() {
  const { scene, about } = open, { width, text } = scaleBar(scene.px()), bar = by("scale");
  bar.firstChild.nodeType === Node.TEXT_NODE ? (bar.firstChild.data = text) : bar.prepend(text);
  bar.lastElementChild.style.width = `${width}px`;
  const { total, shown } = scene.shapes, dotted = scene.dots.covers(scene.box());
  const localizations = dotted ? "every localization" : "localizations counted in pixels";
  const many = total > about.most_outlines;
  const outlines = many ? `; outlines of ${number(total)} clusters: zoom in, or filter` : shown ? "; outlines" : "";
  by("drawn").textContent = localizations + outlines;
}

function pointed({ x, y, dot }) {
  const place = `x ${x.toFixed(1)} nm, y ${y.toFixed(1)} nm`;
  if (dot < 0) return place;
  const { loc_id, z_nm, score, channel } = open.scene.dots.found.arrays;
  const more = [`localization ${loc_id[dot]}`, open.about.channels[channel[dot]]];
  if (z_nm) more.push(`z ${z_nm[dot].toFixed(1)} nm`);
  if (score) more.push(`score ${score[dot].toFixed(3)}`);
  return `${place} · ${more.join(", ")}`;
}

function counted() {
  const { count, total, ranges } = open.clusters;
  by("count").textContent = ranges.size ? `${number(count)} of ${number(total)} clusters` : `All ${number(total)} clusters`;
  by("clear").hidden = !ranges.size;
}

async function selected() {
  const { clusters, of } = open, row = clusters.selected;
  by("chosen").hidden = row < 0;
  open.clusterId = null;
  if (row >= 0) {
    const measures = await of.row(row);
    if (open?.clusters !== clusters || clusters.selected !== row) return;
    open.clusterId = measures.cluster_id;
    by("chosen").firstElementChild.textContent = `Cluster ${measures.cluster_id}`;
    by("measures").replaceChildren(...Object.entries(measures).filter(([name]) => name !== "cluster_id").map(measure));
  }
  note();
}

function measure([name, value]) {
  const { name: text, unit } = labelled(name);
  const { meaning, truth } = open.about.measures.find((known) => known.name === name);
  const words = truth ? (value ? "yes" : "no") : value === null ? "–" : `${number(value)} ${unit}`;
  return element("div", { title: meaning }, element("dt", { textContent: text }), element("dd", { textContent: words }));
}

function warnings(lines) {
  const part = by("warned");
  part.hidden = !lines.length;
  part.firstElementChild.textContent = `Warnings (${lines.length})`;
  part.lastElementChild.replaceChildren(...lines.map((textContent) => element("p", { className: "warning", textContent })));
}

function looks({ about, scene, look }) {
  by("channels").replaceChildren(...about.channels.map((name, channel) => {
    const box = element("input", { type: "checkbox", checked: look.shown[channel] });
    box.addEventListener("change", () => ((look.shown[channel] = box.checked), scene.repaint(), note()));
    const swatch = element("span", { className: "swatch" });
    swatch.style.color = channelColor(channel);
    return element("label", {}, box, swatch, name);
  }));
  const color = by("color"), gain = by("gain");
  [...color.options].find((option) => option.value === "score")?.remove();
  if (about.has_score) color.append(element("option", { value: "score", textContent: "score" }));
  const ramp = () => {
    const steps = scoreColors().map((background) => {
      const step = element("i");
      step.style.background = background;
      return step;
    });
    by("ramp").replaceChildren(...(look.color === "score" ? ["0", ...steps, "1"] : []));
  };
  color.value = look.color;
  color.onchange = () => ((look.color = color.value), ramp(), scene.dots.repaint(), note());
  gain.value = Math.log2(look.gain);
  gain.oninput = () => ((look.gain = 2 ** Number(gain.value)), scene.repaint(), note());
  ramp();
}

const KEYS = {
  ArrowLeft: () => open.scene.pan(-1, 0), ArrowRight: () => open.scene.pan(1, 0),
  ArrowUp: () => open.scene.pan(0, -1), ArrowDown: () => open.scene.pan(0, 1),
  "+": () => open.scene.zoom(2), "=": () => open.scene.zoom(2), "-": () => open.scene.zoom(0.5),
  0: () => open.scene.whole(),
  n: () => open.table.step(1), p: () => open.table.step(-1),
  f: () => open.clusters.selected >= 0 && open.scene.fitCluster(open.clusters.selected),
  Escape: () => (open.clusters.selected < 0 && !addressed ? parent.postMessage("close", "*") : open.clusters.select(-1)),
  t: () => document.querySelector("tbody tr[tabindex='0']")?.focus(), m: () => by("map").focus(),
  s: () => savePng(open.scene, open.imageId), "?": () => by("keys").showModal(),
};

function listen() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, dialog *");
    if (!open || typing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (!(event.key in KEYS)) return;
    if (event.key.startsWith("Arrow") && event.target.closest("aside")) return;
    KEYS[event.key]();
    event.preventDefault();
  });
  const acts = { back: () => (history.pushState(null, "", "#"), trouble(), gallery()), in: KEYS["+"], out: KEYS["-"],
    whole: KEYS[0], png: KEYS.s, svg: () => saveSvg(open.scene, open.imageId), help: KEYS["?"], zoom: KEYS.f,
    known: () => by("keys").close(),
    unselect: KEYS.Escape, clear: () => open.filters.clear(), link: copyLink };
  for (const [id, act] of Object.entries(acts)) by(id).addEventListener("click", act);
  by("link").hidden = !addressed;
  addEventListener("popstate", () => (run.error ? null : start().catch(failed)));
}

async function copyLink() {
  const button = by("link");
  note();
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    prompt("The address of this view:", location.href);
  }
  setTimeout(() => (button.textContent = "Copy link"), 1500);
}

function failed(error) {
  trouble(error.message);
  throw error;
}

listen();
start().catch(failed);
