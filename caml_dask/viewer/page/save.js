// A view as PNG or SVG, with its scale bar.

import { css, GROUND, OUTLINE, SELECTED } from "./colors.js";
import { length } from "./words.js";

const MOST_CIRCLES = 20_000; // in an SVG; more dots are embedded as a picture
const BAR_PX = 140; // at most
const MARGIN_PX = 16;
const FONT = "600 13px system-ui, sans-serif";

/** The scale bar of a view: a round length in nm, and its pixels. */
export function scaleBar(px) {
  const most = BAR_PX * px, power = 10 ** Math.floor(Math.log10(most));
  const nm = [5, 2, 1].map((step) => step * power).find((round) => round <= most) ?? power;
  return { nm, width: nm / px, text: length(nm) };
}

export async function savePng(scene, name) {
  const canvas = picture(scene, ".ol-layer canvas, canvas.ol-layer");
  const context = canvas.getContext("2d"), ratio = canvas.width / scene.map.getSize()[0];
  const { width, text } = scaleBar(scene.px()), [, tall] = scene.map.getSize();
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "#fff";
  context.fillRect(MARGIN_PX, tall - MARGIN_PX - 4, width, 4);
  context.font = FONT;
  context.fillText(text, MARGIN_PX, tall - MARGIN_PX - 10);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  download(blob, `${name}.png`);
}

export function saveSvg(scene, name) {
  download(new Blob([svg(scene)], { type: "image/svg+xml" }), `${name}.svg`);
}

/** What layers show, on dark ground. */
function picture(scene, chosen) {
  const [width, height] = scene.map.getSize(), ratio = devicePixelRatio;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width * ratio, height * ratio].map(Math.round);
  const context = canvas.getContext("2d");
  context.fillStyle = css(GROUND);
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const layer of scene.map.getViewport().querySelectorAll(chosen)) {
    if (!layer.width) continue;
    const matrix = /^matrix\(([^)]+)\)$/.exec(layer.style.transform)?.[1].split(",").map(Number) ?? [
      parseFloat(layer.style.width) / layer.width || 1, 0, 0, parseFloat(layer.style.height) / layer.height || 1, 0, 0];
    context.setTransform(...matrix.map((value) => value * ratio));
    context.drawImage(layer, 0, 0);
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  return canvas;
}

function svg(scene) {
  const [width, height] = scene.map.getSize(), { width: bar, text } = scaleBar(scene.px());
  const circles = scene.dots.layer.getVisible() ? dots(scene) : null;
  const ground = circles ?? `<image width="${width}" height="${height}" href="${
    picture(scene, ".tiles canvas, canvas.tiles, .dots canvas, canvas.dots").toDataURL("image/png")}"/>`;
  const at = height - MARGIN_PX;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<rect width="${width}" height="${height}" fill="${css(GROUND)}"/>
${ground}
<g fill="none" stroke="${OUTLINE}" stroke-width="1.2">${paths(scene, scene.shapes.outlines)}</g>
<g fill="none" stroke="${SELECTED}" stroke-width="2.5">${paths(scene, scene.shapes.chosen)}</g>
<rect x="${MARGIN_PX}" y="${at - 4}" width="${bar.toFixed(2)}" height="4" fill="#fff"/>
<text x="${MARGIN_PX}" y="${at - 10}" fill="#fff" font-family="sans-serif" font-size="13" font-weight="600">${text}</text>
</svg>`;
}

/** Dots as circles; null where they are too many. */
function dots(scene) {
  const { dots: drawn } = scene, box = scene.box(), px = scene.px();
  const { x_nm, y_nm, channel } = drawn.found.arrays, { at } = drawn.found, { palette, of, dim } = drawn.painted();
  const radius = drawn.radius(px).toFixed(2), groups = new Map();
  let count = 0;
  for (let i = 0; i < x_nm.length; i++) {
    const x = x_nm[i] + at[0], y = y_nm[i] + at[1];
    if (x < box[0] || x > box[2] || y < box[1] || y > box[3] || !drawn.look.shown[channel[i]]) continue;
    if (++count > MOST_CIRCLES) return null;
    const group = `fill="${palette[of[i]]}"${dim[i] ? ' opacity="0.25"' : ""}`;
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(
      `<circle cx="${((x - box[0]) / px).toFixed(2)}" cy="${((y - box[1]) / px).toFixed(2)}" r="${radius}"/>`);
  }
  return [...groups].map(([group, all]) => `<g ${group}>${all.join("")}</g>`).join("\n");
}

function paths(scene, source) {
  const box = scene.box(), px = scene.px();
  const corner = ([x, y]) => `${((x - box[0]) / px).toFixed(2)},${((-y - box[1]) / px).toFixed(2)}`;
  return source.getFeatures().map((feature) => {
    const rings = feature.getGeometry().getCoordinates().flat();
    return `<path d="${rings.map((ring) => `M${ring.map(corner).join("L")}Z`).join("")}"/>`;
  }).join("");
}

function download(blob, name) {
  const link = document.createElement("a");
  link.download = name.replace(/[^A-Za-z0-9._-]+/g, "_");
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
