"""The page as a browser has it: nothing it shows is taken for markup, nothing is asked for outside, pictures decode."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import shutil
import subprocess
import unicodedata
from urllib.parse import unquote
from xml.etree import ElementTree

import cohorts
import pytest
from cohorts import LOOSE, TIGHT
from PIL import Image
from poisoned import Markup, listening, payload, poison

from caml_dask.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium found: apt-get install chromium")
ALERT_COLOR = (255, 248, 232)  # of templates/style.css


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Four images in two conditions and a broken one, in a folder whose name is markup too."""
    root = tmp_path_factory.mktemp("page")
    items = []
    for k in range(4):
        path = cohorts.table(root / "in" / f"{k}.csv", (LOOSE, TIGHT)[k % 2], seed=k)
        items.append({"path": str(path), "condition": ("loose", "tight")[k % 2]})
    bad = root / "in" / "bad.csv"
    bad.write_text("nonsense\n")
    return cohorts.screened(root / "out", [*items, {"path": str(bad), "condition": "loose"}])


@pytest.fixture
def screened(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "<b>out & 'more'")


def test_no_text_becomes_markup(screened):
    whole = cohorts.read(screened)
    for entry in whole["images"]:
        entry["warnings"] = ["few-clustered: plain"]
    cohorts.write(screened, whole)
    plain = Markup(write_report(screened).page.read_text())
    places = poison(screened, port=9)
    page = write_report(screened).page.read_text()
    found = Markup(page)
    assert {tag for tag, _ in found.elements} == {tag for tag, _ in plain.elements}
    scripts = [attributes for tag, attributes in found.elements if tag == "script"]
    assert [a for a in scripts if a.get("type") != "text/plain"] == [{}] and len(scripts) == 1 + 1 + 4
    assert not {"iframe", "object", "embed", "form", "link", "base"} & {tag for tag, _ in found.elements}
    text = "".join(found.text)
    for place in places:
        assert payload(place) in text or place == "factor", place
    for _, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:image/png;base64,", "#", "./nights/")), value


def test_the_policy_forbids_all_but_the_page_itself(screened):
    page = write_report(screened).page.read_text()
    policy = next(a["content"] for tag, a in Markup(page).elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy and "blob" not in policy
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert page.index("Content-Security-Policy") < page.index("<title>")


def test_pictures_are_embedded_small(screened):
    page = write_report(screened).page.read_text()
    pictures = pictures_of(page)
    assert len(pictures) == 4
    for data in pictures:
        image = Image.open(io.BytesIO(data))
        image.load()
        assert image.format == "PNG" and image.width <= 440
        assert len(data) < 60_000
        hues = [(r, g, b) for _, (r, g, b) in image.convert("RGB").getcolors(1 << 16)]
        assert any(r > 1.5 * b and r > 90 for r, g, b in hues), "clustered ones are orange"
        assert any(b > 1.2 * r and b > 60 for r, g, b in hues), "the others are blue"


def test_a_path_that_is_no_utf8_is_spelled_out(screened):
    whole = cohorts.read(screened)
    whole["images"][0]["warnings"] = ["caf\udce9"]
    cohorts.write(screened, whole)
    assert "caf\\udce9" in write_report(screened).page.read_text(encoding="utf-8")


def test_control_characters_are_spelled_out_on_the_page_and_in_figures(screened):
    whole = cohorts.read(screened)
    for entry in whole["images"]:
        entry["factors"] = {
            "condition": "a\x00\x1b[31m" if "loose" in str(entry["factors"]) else "b",
            "replicate": "r\x9f",
        }
    cohorts.write(screened, whole)
    page = write_report(screened).page.read_text()
    assert "a\\x00\\x1b[31m" in page
    figures = list((screened / "report" / "figures").glob("*.svg"))
    assert len(figures) == 11
    for text in (page, *(path.read_text() for path in figures)):
        assert not [c for c in text if unicodedata.category(c) == "Cc" and c != "\n"]


def test_formulas_are_no_formulas_in_the_tables(screened):
    whole = cohorts.read(screened)
    for entry in whole["images"]:
        entry["factors"]["condition"] = "=HYPERLINK(0)"
    cohorts.write(screened, whole)
    write_report(screened)
    for name in ("per_image.csv", "per_condition.csv"):
        cells = [cell for row in cohorts.rows_of(screened / "report" / name) for cell in row.values()]
        assert "'=HYPERLINK(0)" in cells and "=HYPERLINK(0)" not in cells


def pictures_of(page):
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]


def browse(url, *options, profile):
    """Run a headless browser that reaches nothing but this machine."""
    command = [
        *(
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
        ),
        *("--disable-background-networking", "--disable-component-update", "--no-first-run", "--window-size=1200,3000"),
        *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=5000", *options, url),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.fixture
def server():
    with listening() as found:
        yield found


@needs_chromium
def test_a_browser_runs_nothing_of_it_and_asks_for_nothing(screened, server, tmp_path):
    port, asked = server
    control = tmp_path / "control.html"
    control.write_text(f"<title>none</title><p>{payload('control', port)}</p>")
    assert "<title>control</title>" in browse(control.as_uri(), "--dump-dom", profile=tmp_path / "profile")
    assert "/control" in asked, "the payload does what it should where it is not escaped"
    asked.clear()
    poison(screened, port)
    page = write_report(screened).page
    dom = browse(page.as_uri(), "--dump-dom", profile=tmp_path / "profile")
    assert re.findall("<title>([^<]*)</title>", dom)[0] == f"Cluster analysis: {screened.name}".replace(
        "&", "&amp;"
    ).replace("<", "&lt;").replace(">", "&gt;")
    assert asked == []


@needs_chromium
def test_a_browser_saves_each_figure_as_svg_and_png(screened, tmp_path):
    """Links that the page's script clicks are kept in the page's text, in place of being saved."""
    poison(screened, 9)
    page = write_report(screened).page.read_text()
    spy = """<script>HTMLAnchorElement.prototype.click = function () {
      const textContent = this.download + " " + this.href;
      document.body.append(Object.assign(document.createElement("pre"), {textContent}));
    }; onload = () => { for (const b of document.querySelectorAll(".save button")) b.click(); }</script>"""
    harness = tmp_path / "harness.html"
    harness.write_text(re.sub("<meta http-equiv[^>]+>", "", page).replace("<header>", spy + "<header>"))
    dom = browse(harness.as_uri(), "--dump-dom", profile=tmp_path / "profile")
    saved = dict(found.split(" ", 1) for found in re.findall("<pre>([^<]*)</pre>", dom))
    names = re.findall('data-name="([^"]+)"', page)
    assert len(names) == 11 and set(saved) == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    for name in names:
        svg = unquote(html.unescape(saved[f"{name}.svg"].partition(",")[2]))
        root = ElementTree.fromstring(svg)
        width, height = (float(root.get(side)) for side in ("width", "height"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and "script" not in {
            e.tag.rpartition("}")[2] for e in root.iter()
        }
        picture = Image.open(io.BytesIO(base64.b64decode(saved[f"{name}.png"].partition(",")[2])))
        assert picture.format == "PNG" and picture.size == (int(3 * width), int(3 * height))
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10, "it is drawn"


@needs_chromium
def test_a_browser_shows_its_styles_and_pictures(screened, tmp_path):
    page = write_report(screened).page
    shot = tmp_path / "shot.png"
    browse(page.as_uri(), f"--screenshot={shot}", profile=tmp_path / "profile")
    colors = {color: n for n, color in Image.open(shot).convert("RGB").getcolors(1 << 24)}
    assert colors.get(ALERT_COLOR, 0) > 5_000, "the policy lets its own styles through"
    harness = tmp_path / "harness.html"
    images = re.findall(r'<img src="data:[^>]+>', page.read_text())
    script = "document.title = [...document.images].map(i => i.naturalWidth).join()"
    harness.write_text("".join(images).replace('loading="lazy"', "") + f"<script>onload = () => {{{script}}}</script>")
    dom = browse(harness.as_uri(), "--dump-dom", profile=tmp_path / "profile")
    assert "<title>440,440,440,440</title>" in dom
