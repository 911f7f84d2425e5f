
// Images that the page holds open in a dialog; without scripts their pictures lead to the full ones.
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function look(id, name) {
  const [around, held] = await Promise.all([unpacked("view"), unpacked(id)]);
  const [before, after] = around.split("\0"), frame = document.createElement("iframe");
  frame.title = name;
  frame.sandbox = "allow-scripts allow-downloads";
  frame.srcdoc = before + held + after;
  const dialog = document.createElement("dialog"), close = document.createElement("button");
  dialog.className = "look";
  dialog.setAttribute("aria-label", name);
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  const hear = (event) => event.source === frame.contentWindow && event.data === "close" && dialog.close();
  addEventListener("message", hear);
  dialog.addEventListener("close", () => (removeEventListener("message", hear), dialog.remove()));
  dialog.append(close, frame);
  document.body.append(dialog);
  frame.addEventListener("load", () => frame.focus());
  dialog.showModal();
}

// Without DecompressionStream, as without scripts: links stay links.
if ("DecompressionStream" in window) {
  for (const link of document.querySelectorAll("a[data-view]")) {
    const button = document.createElement("button"), { view, image } = link.dataset;
    button.type = "button";
    button.textContent = "Zoom in";
    button.setAttribute("aria-label", `Zoom into ${image}`);
    button.addEventListener("click", () => look(view, image));
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab, with the full picture
      event.preventDefault();
      look(view, image);
    });
    link.nextElementSibling.prepend(button, " ");
  }
}
