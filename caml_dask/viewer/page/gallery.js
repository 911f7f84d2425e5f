// All images of a run or a screening side by side, with their status and warnings.

import { element, number } from "./words.js";

/** Fill a part of the page with a card for each image; `open` is called with the image_id of the one chosen. */
export function fillGallery(target, run, source, open) {
  const cards = run.images.map((image) => ({ image, made: card(image, source, open) }));
  const warned = run.images.filter((image) => image.warnings.length).length;
  const failed = run.images.filter((image) => image.status !== "done").length;
  const count = element("p", { className: "aside" });
  count.setAttribute("role", "status");
  const text = element("input", { type: "search", placeholder: "Name, condition, warning …" });
  text.setAttribute("aria-label", "Find images");
  const which = element("select", {},
    element("option", { value: "all", textContent: `All images (${run.images.length})` }),
    element("option", { value: "warned", textContent: `With warnings (${warned})` }),
    element("option", { value: "failed", textContent: `Not done (${failed})` }));
  which.setAttribute("aria-label", "Which images are shown");
  const show = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { image, made } of cards) {
      const all = [image.image_id, image.path, image.reason ?? "", ...image.warnings,
        ...Object.entries(image.factors).flat()].join(" ").toLowerCase();
      const kind = { all: true, warned: image.warnings.length > 0, failed: image.status !== "done" }[which.value];
      made.hidden = !(kind && words.every((word) => all.includes(word)));
      shown += !made.hidden;
    }
    count.textContent = `${shown} of ${cards.length} images shown`;
  };
  text.addEventListener("input", show);
  which.addEventListener("change", show);
  show();
  const tools = element("div", { className: "line tools" }, text, which, count);
  target.replaceChildren(tools, element("div", { className: "cards" }, ...cards.map(({ made }) => made)));
}

function card(image, source, open) {
  const done = image.status === "done";
  const title = element("h3", { textContent: image.image_id || image.path });
  const tags = Object.entries(image.factors).map(([name, value]) =>
    element("span", { textContent: name === "condition" ? value : `${name} ${value}` }));
  const made = element("article", { className: "card" },
    done ? picture(image, source, open) : element("p", { className: "bad", textContent: `Not done: ${image.reason}` }),
    title, tags.length ? element("p", { className: "tags" }, ...tags) : null);
  if (done) made.append(figures(image));
  for (const warning of image.warnings) made.append(element("p", { className: "warning", textContent: warning }));
  made.append(element("p", { className: "path", textContent: image.path }));
  return made;
}

function picture(image, source, open) {
  const shown = element("img", { alt: "", loading: "lazy", src: source.picture(image.image_id) });
  shown.addEventListener("error", () => shown.replaceWith(element("span", { className: "aside", textContent: "no picture" })));
  const button = element("button", { type: "button", className: "open", title: `Look at ${image.image_id}` }, shown);
  button.setAttribute("aria-label", `Look at ${image.image_id}`);
  button.addEventListener("click", () => open(image.image_id));
  return button;
}

function figures(image) {
  const rows = [["Localizations", number(image.localizations)], ["Clustered", `${number(image.percent_clustered)} %`],
    ["Clusters", number(image.clusters)], ["Clusters per µm²", number(image.clusters_per_um2)]];
  if (image.p_value !== null) rows.push(["p against randomness", number(image.p_value)]);
  return element("dl", {}, ...rows.map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value }))));
}
