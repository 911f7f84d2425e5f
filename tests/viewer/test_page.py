"""The page in a browser: served, and as a file of its own."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import cohorts
import numpy as np
import pytest
import uvicorn
from browsers import needs_chromium
from chromium import Browser
from support import simulated_table
from viewed import small_run

from caml_dask.results.run import open_run
from caml_dask.viewer.held import block
from caml_dask.viewer.library import Library
from caml_dask.viewer.one_script import one_script
from caml_dask.viewer.packing import packed
from caml_dask.viewer.serve import _bound
from caml_dask.viewer.server import PAGE, application
from caml_dask.viewer.static_page import write_page

pytestmark = needs_chromium
READY = "document.querySelectorAll('tbody tr').length && !document.getElementById('viewer').hidden"
FRAGMENT = "new URLSearchParams(location.hash.slice(1))"
KEEP = """window.kept = []; const asUrl = URL.createObjectURL;
const keep = async (blob) => kept.push([blob.type, [...new Uint8Array(await blob.arrayBuffer())]]);
URL.createObjectURL = (blob) => (keep(blob), asUrl(blob));
HTMLAnchorElement.prototype.click = function () {};"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture
def page(browser):
    """The browser, whose console has said nothing when the test ends."""
    browser.said.clear()
    browser.open("about:blank")
    yield browser
    assert browser.said == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return small_run(folder / "out", simulated_table(folder / "field.csv", side_nm=3000.0))


def served(root: Path):
    """The address of a run that is served, and how to end it."""
    door = _bound(0)
    app = application(Library(root, root / ".view"), "token")
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, args=([door],), daemon=True)
    thread.start()

    def end() -> None:
        server.should_exit = True
        thread.join()
        door.close()

    return f"http://127.0.0.1:{door.getsockname()[1]}/token/", end


@pytest.fixture(scope="module")
def address(run):
    found, end = served(run)
    yield found
    end()


@pytest.fixture(scope="module", params=["served", "held"])
def place(request, run, address, tmp_path_factory):
    """The page of the run: from the server, and as a file that holds it."""
    if request.param == "served":
        return address
    return write_page(run, "field", tmp_path_factory.mktemp("page") / "a page.html").as_uri()


def settled(page: Browser, script: str) -> object:
    """The value of a script once it stays the same: views glide."""
    last = None
    for _ in range(100):
        if (now := page.run(script)) == last:
            return now
        last = now
        time.sleep(0.25)
    raise AssertionError(f"{script} does not settle")


def test_it_loads_and_a_row_of_the_table_is_zoomed_to(page, place, run):
    clusters = open_run(run).images[0].clusters
    page.open(place)
    page.wait(READY)
    page.wait("document.getElementById('drawn').textContent.includes('every localization')")
    assert f"{len(clusters)} clusters" in page.run("document.getElementById('figures').textContent")
    page.run("document.querySelectorAll('tbody tr')[3].click()")
    page.wait(f"{FRAGMENT}.get('cluster')")
    wanted = clusters.iloc[3]
    x, y, px = settled(page, f"[...{FRAGMENT}.get('at').split(','), {FRAGMENT}.get('px')].map(Number)")
    assert abs(x - wanted["centroid_x_nm"]) < 60 and abs(y - wanted["centroid_y_nm"]) < 60 and 0.02 < px < 2
    assert int(page.run(f"{FRAGMENT}.get('cluster')")) == wanted["cluster_id"]
    assert page.run("document.querySelector('[aria-selected=true]').rowIndex") == 4
    told = page.run("document.getElementById('chosen').textContent")
    assert f"Cluster {wanted['cluster_id']}" in told and f"localizations{wanted['n_localizations']}" in told


def test_filters_count_as_numpy_does(page, place, run):
    clusters = open_run(run).images[0].clusters
    low, high = np.quantile(clusters["area_nm2"], [0.25, 0.75])
    page.open(place)
    page.wait(READY)
    page.run("""(() => { const m = document.getElementById('measure'); m.value = 'area_nm2';
        m.dispatchEvent(new Event('change')); })()""")
    page.wait("document.querySelectorAll('.range input').length")
    for side, value in enumerate((low, high)):
        page.run(f"""(() => {{ const i = document.querySelectorAll('.range input')[{side}]; i.value = {value};
            i.dispatchEvent(new Event('input')); }})()""")
    kept = clusters[(clusters["area_nm2"] >= low) & (clusters["area_nm2"] <= high)]
    assert 0 < len(kept) < len(clusters)
    page.wait(f"document.getElementById('count').textContent === '{len(kept)} of {len(clusters)} clusters'")
    page.wait(f"document.getElementById('where').textContent.endsWith('of {len(kept)}')")
    first = page.run(
        "[...document.querySelectorAll('tbody tr td:first-child')].map((cell) => Number(cell.textContent))"
    )
    assert first == kept["cluster_id"].tolist()[:50]
    page.run("document.querySelectorAll('th button')[2].click()")
    page.wait("!!document.querySelector('[aria-sort=descending]')")
    page.wait(f"document.querySelector('tbody td').textContent === '{kept['cluster_id'][kept['area_nm2'].idxmax()]}'")
    page.run("document.getElementById('clear').click()")
    page.wait(f"document.getElementById('count').textContent === 'All {len(clusters)} clusters'")


def test_a_click_on_an_outline_selects_its_row(page, place, run):
    image = open_run(run).images[0]
    row = image.clusters["area_nm2"].idxmax()
    inside = image.outlines.iloc[row].representative_point()
    page.open(f"{place}#image={image.image_id}&at={inside.x},{inside.y}&px=2")
    page.wait("document.getElementById('drawn').textContent.includes('outlines')")
    x, y = page.run("(({x, y, width, height}) => [x + width / 2, y + height / 2])(map.getBoundingClientRect())")
    page.click(x, y)
    wanted = image.clusters["cluster_id"][row]
    page.wait(f"document.querySelector('[aria-selected=true] td')?.textContent === '{wanted}'")
    page.press("Escape")
    page.wait(f"!{FRAGMENT}.has('cluster') && document.getElementById('chosen').hidden")


def test_the_mouse_moves_a_page_that_was_just_opened(page, place):
    page.open(place)
    page.wait(READY)
    center = f"{FRAGMENT}.get('at').split(',').map(Number)"
    x, y = settled(page, center)
    px = page.run(f"Number({FRAGMENT}.get('px'))")
    page.mouse("mousePressed", 500, 400)
    for right in (20, 60, 120):  # the first step begins it
        page.mouse("mouseMoved", 500 + right, 400 + right / 2)
        time.sleep(0.05)
    time.sleep(0.3)  # at rest before it is let go, or the view glides on
    page.mouse("mouseReleased", 620, 460)
    page.wait(f"{FRAGMENT}.get('at') !== '{x},{y}'")
    assert settled(page, center) == pytest.approx([x - 100 * px, y - 50 * px], abs=2 * px)
    page.turn(500, 400, -200)
    page.wait(f"Number({FRAGMENT}.get('px')) < {0.9 * px}")


def test_the_selected_outline_is_drawn_where_there_are_too_many_others(page, address, run, monkeypatch):
    for module in ("about", "server"):
        monkeypatch.setattr(f"caml_dask.viewer.{module}.MOST_OUTLINES", 0)
    image = open_run(run).images[0]
    row = int(image.clusters["area_nm2"].idxmax())
    page.call("Network.clearBrowserCache")
    page.open(f"{address}#image={image.image_id}&cluster={image.clusters['cluster_id'][row]}")
    page.wait(f"{FRAGMENT}.has('cluster') && !document.getElementById('chosen').hidden")
    page.run(f"{KEEP}; 0")
    page.wait("document.getElementById('drawn').textContent.includes('outlines of')")
    corners = """(async () => { kept.length = 0; document.getElementById('svg').click();
        while (!kept.length) await new Promise((done) => setTimeout(done, 20));
        const svg = new DOMParser().parseFromString(
            new TextDecoder().decode(Uint8Array.from(kept[0][1])), "text/xml");
        return [...svg.querySelectorAll("path")].map((path) => path.getAttribute("d").split("L").length); })()"""
    page.wait(f"{corners}.then((found) => found.length === 1 && found[0] > 8)")


def test_a_permalink_shows_the_same_view(page, place, run):
    image = open_run(run).images[0]
    cluster = image.clusters["cluster_id"][5]
    view = {"image": image.image_id, "at": "1500.0,1200.0", "px": "1.5", "cluster": str(cluster)}
    view |= {"sort": "-area_nm2", "color": "cluster", "hidden": "0", "gain": "2", "filter": "area_nm2:10:"}
    fragment = "&".join(f"{name}={quote(value)}" for name, value in view.items())
    page.open(f"{place}#{fragment}")
    page.wait(f"{FRAGMENT}.get('cluster') === '{cluster}' && !document.getElementById('chosen').hidden")
    assert dict(page.run(f"[...{FRAGMENT}]")) == view
    assert page.run("document.getElementById('color').value") == "cluster"
    assert page.run("[...document.querySelectorAll('#channels input')].map((box) => box.checked)") == [False, True]
    page.press("ArrowRight")
    page.wait(f"Number({FRAGMENT}.get('at').split(',')[0]) > 1600")


def test_a_link_of_another_run_leaves_out_measures_that_this_one_lacks(page, place, run):
    image = open_run(run).images[0]
    page.open(
        f"{place}#image={image.image_id}&at=1500,1200&px=1.5&sort=-volume_nm3&filter=volume_nm3:1:&filter=area_nm2:9:"
    )
    page.wait(f"Number({FRAGMENT}.get('px')) === 1.5 && document.querySelectorAll('.range').length === 1")
    page.wait(READY)
    assert page.run(f"[{FRAGMENT}.getAll('filter'), {FRAGMENT}.get('sort')]") == [["area_nm2:9:"], None]
    assert page.run("document.getElementById('trouble').hidden")


def test_a_drag_to_an_end_keeps_the_extreme_cluster(page, place, run):
    clusters = open_run(run).images[0].clusters
    page.open(f"{place}#image=0001_field&filter=density_per_um2::&filter=area_nm2::")
    page.wait(READY)
    page.wait("document.querySelectorAll('.range').length === 2")
    for number, name in enumerate(("density_per_um2", "area_nm2")):
        page.run(f"""(() => {{ const canvas = document.querySelectorAll('.range canvas')[{number}];
            canvas.setPointerCapture = () => {{}};
            const {{ left, width, top }} = canvas.getBoundingClientRect();
            const at = (kind, share) => canvas.dispatchEvent(
                new PointerEvent(kind, {{ clientX: left + share * width, clientY: top + 5 }}));
            at('pointerdown', 0.3); at('pointermove', 2); at('pointerup', 2); at('pointerdown', 2);
            at('pointermove', -1); at('pointerup', -1); }})()""")
        kept = clusters[name].notna().sum()
        page.wait(f"document.getElementById('count').textContent === '{kept} of {len(clusters)} clusters'")


def test_an_image_that_was_left_while_it_was_prepared_does_not_come_back(page, tmp_path, monkeypatch):
    """Its two visits are one view in the end, and the image that is looked at stays."""
    tables = [cohorts.table(tmp_path / f"{name}.csv", cohorts.TIGHT, seed) for seed, name in enumerate("ab")]
    root = cohorts.screened(tmp_path / "root", [{"path": str(p), "condition": "one"} for p in tables])
    (root / ".screen").mkdir()
    slow, real = next(iter(open_run(root).images)), Library.state
    asked, waiting = [], threading.Event()
    waiting.set()

    def state(library, image):
        asked.append(image.image_id)
        held_up = image.image_id == slow and waiting.is_set()
        return {"state": "preparing", "share": 0.5} if held_up else real(library, image)

    monkeypatch.setattr(Library, "state", state)
    address, end = served(root)
    visit = "document.querySelectorAll('.card button')[{}].click()"
    try:
        page.open(address)
        page.wait("document.querySelectorAll('.card').length === 2")
        for _ in range(2):
            page.run(visit.format(0))
            page.wait("!document.getElementById('preparing').hidden")
            page.run("document.getElementById('back').click()")
            page.wait("!document.getElementById('gallery').hidden")
        waiting.clear()
        time.sleep(1.0)
        assert not page.run("document.getElementById('gallery').hidden") and asked == [slow, slow]
        waiting.set()
        page.run(visit.format(0))
        page.run("history.back()")
        page.wait("!document.getElementById('gallery').hidden")
        page.run(visit.format(1))
        waiting.clear()
        page.wait(READY)
        time.sleep(1.0)
        assert page.run(f"document.title === {FRAGMENT}.get('image')") and page.run("document.title") != slow
    finally:
        end()


def test_views_are_saved_with_a_scale_bar(page, place, run):
    image = open_run(run).images[0]
    points = image.points
    page.open(f"{place}#image={image.image_id}&at=1500,1500&px=1")
    page.wait("document.getElementById('drawn').textContent.includes('every localization; outlines')")
    page.run(f"{KEEP}; document.getElementById('svg').click(); document.getElementById('png').click()")
    page.wait("kept.length === 2")
    files = {kind: bytes(content) for kind, content in page.run("kept")}
    svg = ElementTree.fromstring(files["image/svg+xml"])
    width, height = (float(svg.get(side)) for side in ("width", "height"))
    inside = (points["x_nm"] - 1500).abs().le(width / 2) & (points["y_nm"] - 1500).abs().le(height / 2)
    names = [one.tag.rpartition("}")[2] for one in svg.iter()]
    assert names.count("circle") == inside.sum() > 0 and names.count("path") > 0
    assert [one.text for one in svg.iter() if one.tag.endswith("text")] == ["100 nm"]
    bar = next(one for one in svg if one.tag.endswith("rect") and one.get("x"))
    assert float(bar.get("width")) == pytest.approx(100.0)
    assert files["image/png"].startswith(b"\x89PNG") and len(files["image/png"]) > 5000


def test_pixels_are_drawn_where_localizations_are_too_many(page, address, monkeypatch):
    monkeypatch.setattr("caml_dask.viewer.server.MOST_POINTS", 50)
    page.call("Network.clearBrowserCache")
    page.open(address)
    page.wait("document.getElementById('drawn').textContent.includes('counted in pixels')")
    lit = """(() => { const [canvas] = document.querySelectorAll('.tiles canvas, canvas.tiles');
        return canvas && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(
            (value, k) => k % 4 === 0 && value > 100); })()"""
    page.wait(lit)


PAYLOAD = "<img src=x onerror=\"document.title='run'\"></script><script>document.title='run'</script>"


def test_texts_of_a_screening_are_never_markup(page, tmp_path):
    """Of names, factors, reasons and warnings; one image is opened, and written as a page."""
    good = cohorts.table(tmp_path / "good.csv", cohorts.TIGHT, 1)
    bad = tmp_path / "bad.csv"
    bad.write_text('"x [nm]","y [nm]"\n1,2\n')
    root = cohorts.screened(tmp_path / "root", [{"path": str(p), "condition": PAYLOAD} for p in (good, bad)])
    (root / ".screen").mkdir()
    whole = cohorts.read(root)
    for entry in whole["images"]:
        entry["factors"] |= {PAYLOAD: PAYLOAD}
        entry["reason" if entry["status"] == "failed" else "warnings"] = (
            PAYLOAD if entry["status"] == "failed" else [PAYLOAD]
        )
        entry["path"] = f"/{PAYLOAD}"
    cohorts.write(root, whole)
    address, end = served(root)
    try:
        page.open(address)
        page.wait("document.querySelectorAll('.card').length === 2")
        assert page.run("document.querySelectorAll('.card')[0].parentNode.textContent").count(PAYLOAD) >= 8
        page.run("document.querySelector('.card button').click()")
        page.wait(READY)
        assert PAYLOAD in page.run("document.getElementById('warned').textContent")
        image = next(iter(open_run(root).images))
        page.open(write_page(root, image, tmp_path / "held.html").as_uri())
        page.wait(READY)
        assert PAYLOAD in page.run("document.getElementById('warned').textContent")
        assert page.run("document.title") == image
    finally:
        end()


def test_an_unfinished_run_has_a_page_that_says_so(page, run, tmp_path):
    shutil.copytree(run, tmp_path / "out", ignore=shutil.ignore_patterns(".view"))
    (tmp_path / "out/summary.json").unlink()
    address, end = served(tmp_path / "out")
    try:
        page.open(address)
        page.wait("document.getElementById('trouble').textContent.includes('continue it with --resume')")
    finally:
        end()


def test_a_held_page_counts_more_in_a_pixel_than_two_bytes_hold(page, tmp_path):
    n = 70_000
    points = {"x_nm": np.full(n, 25.0), "y_nm": np.full(n, 5.0), "channel": np.repeat(np.int8([0, 1]), [n - 9, 9])}
    about = {"channels": ["", ""], "tile_px": 8, "pixel_nm": 5.0, "origin_nm": [0, 0], "shapes": [[8, 8], [4, 4]]}
    whole = json.dumps({"title": "", "image": {}, "about": about, "rings": []})
    parts = [
        f'<script type="application/json" id="held-about">{whole}</script>',
        block("held-points", packed({}, points)),
        block("held-columns", packed({}, {"area_nm2": np.zeros(1)})),
        f"<script>{one_script(PAGE, 'held')}</script>",
    ]
    (tmp_path / "held.html").write_text("\n".join(parts))
    page.open((tmp_path / "held.html").as_uri())
    page.wait("typeof module_held === 'object'")
    counts = np.array(page.run("module_held.heldOr(null).open().tile(1, 0, 0).then((found) => [...found])"))
    (channel, row, column), held = np.nonzero(counts.reshape(2, 8, 8)), counts[counts > 0]
    assert (channel.tolist(), row.tolist(), column.tolist(), held.tolist()) == ([0, 1], [0, 0], [2, 2], [n - 9, 9])


def test_modules_import_and_export_as_one_script_can_have_it():
    script = one_script(PAGE, "page")
    assert not [line for line in script.splitlines() if line.startswith(("import ", "export "))]
    for module in PAGE.glob("*.js"):
        assert script.count(f"const module_{module.stem} =") == 1, "each module is used"


def test_a_page_holds_what_it_needs(run, tmp_path):
    text = write_page(run, "field", tmp_path / "page.html").read_text()
    held = json.loads(text.partition('id="held-about">')[2].partition("</script>")[0])
    assert len(held["rings"]) == held["about"]["rows"] and "OpenLayers" in text and "connect-src" not in text
    assert not [link for link in ("http://", "https://") if f'src="{link}' in text or f'href="{link}' in text]
