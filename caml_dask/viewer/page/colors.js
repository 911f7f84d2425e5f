// Colors on dark ground, told apart by the color-blind; as in overview.png and in caml_dask/plotting/colors.py.

export const GROUND = [9, 11, 17];
const PLAIN = [[128, 156, 206], [255, 150, 40], [190, 80, 255]]; // of one localization in a pixel, by channel
const DENSE = [[128, 156, 206], [255, 238, 170], [226, 190, 255]]; // of many
const OKABE_ITO = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#efefef"];
const GRAY = "#737a8a";
const SCORES = [[62, 88, 160], [120, 122, 146], [165, 156, 116], [208, 191, 86], [254, 232, 56]];
const SCORE_STEPS = 16;
const FAINTEST = 0.4; // brightness of a single localization

export const SELECTED = "#f0e442";
export const OUTLINE = "rgba(255,255,255,0.75)";

export function css(color) {
  return `rgb(${color.map(Math.round).join(",")})`;
}

export function channelColor(channel) {
  return css(PLAIN[channel]);
}

/** Paint the counts of a tile on RGBA pixels, as caml_dask/overview/raster.py does; empty pixels stay transparent. */
export function paintCounts(counts, pixels, brightest, shown, gain) {
  const size = pixels.length / 4;
  const ramps = brightest.map((top) => ramp(Math.max(3, top / gain)));
  for (let i = 0; i < size; i++) {
    let [red, green, blue] = GROUND, lit = false;
    for (let channel = 0; channel < brightest.length; channel++) {
      const count = counts[channel * size + i];
      if (!count || !shown[channel]) continue;
      const table = ramps[channel], bright = table[Math.min(count, table.length - 1)];
      const opaque = channel ? Math.min(1, 1.6 * bright) : bright, whiter = Math.max(0, 2 * bright - 1);
      const plain = PLAIN[channel], dense = DENSE[channel];
      red += opaque * (plain[0] + whiter * (dense[0] - plain[0]) - red);
      green += opaque * (plain[1] + whiter * (dense[1] - plain[1]) - green);
      blue += opaque * (plain[2] + whiter * (dense[2] - plain[2]) - blue);
      lit = true;
    }
    if (lit) pixels.set([red, green, blue, 255], 4 * i);
  }
}

/** Brightness by count, from faint to 1 with its logarithm. */
function ramp(top) {
  const steps = Math.ceil(top), low = Math.log(2), high = Math.log1p(top);
  return Float32Array.from({ length: steps + 1 }, (_, count) =>
    count ? FAINTEST + (1 - FAINTEST) * Math.min(1, (Math.log1p(count) - low) / (high - low)) : 0);
}

/** Colors of dots, and which of them each has; `by` is "class", "cluster" or "score". */
export function dotColors(by, { channel, cluster, score }, n) {
  if (by === "cluster") {
    return { palette: [GRAY, ...OKABE_ITO], of: Uint8Array.from({ length: n }, (_, i) => colorOfCluster(cluster[i])) };
  }
  if (by === "score" && score) {
    const of = Uint8Array.from({ length: n }, (_, i) => Math.min(SCORE_STEPS - 1, Math.floor(score[i] * SCORE_STEPS)));
    return { palette: scoreColors(), of };
  }
  return { palette: PLAIN.map(css), of: Uint8Array.from(channel) };
}

export function scoreColors() {
  return Array.from({ length: SCORE_STEPS }, (_, k) => {
    const at = (k / (SCORE_STEPS - 1)) * (SCORES.length - 1), low = Math.min(SCORES.length - 2, Math.floor(at));
    return css(SCORES[low].map((value, a) => value + (at - low) * (SCORES[low + 1][a] - value)));
  });
}

function colorOfCluster(row) {
  return row < 0 ? 0 : 1 + ((Math.imul(row, 0x9e3779b1) >>> 8) % OKABE_ITO.length);
}
