"use strict";
// Two buttons below each figure save it; without scripts the page lacks these and nothing else.
const TIMES = 3; // pixels of a PNG for each unit of the figure: 300 dpi at 14 cm

function source(svg) {
  return "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(svg));
}

function save(url, name) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}

function savePng(svg) {
  const picture = new Image();
  picture.onload = () => {
    const canvas = document.createElement("canvas");
    canvas.width = TIMES * svg.viewBox.baseVal.width;
    canvas.height = TIMES * svg.viewBox.baseVal.height;
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    save(canvas.toDataURL("image/png"), svg.dataset.name + ".png");
  };
  picture.src = source(svg);
}

for (const svg of document.querySelectorAll("figure > svg")) {
  const line = document.createElement("p");
  line.className = "save";
  const offers = { SVG: () => save(source(svg), svg.dataset.name + ".svg"), PNG: () => savePng(svg) };
  for (const [format, act] of Object.entries(offers)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Save as " + format;
    button.addEventListener("click", act);
    line.append(button);
  }
  svg.after(line);
}
