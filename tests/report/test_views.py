"""Images that the page of a report holds, and what a browser shows of them."""

from __future__ import annotations

import io
import shutil
import time

import cohorts
import pytest
from browsers import needs_chromium
from chromium import Browser
from PIL import Image
from poisoned import Markup, listening, payload, poison

from caml_dask.report import views as of_page
from caml_dask.report import write_report
from caml_dask.report.results import read_results
from caml_dask.report.views import view_name, views
from caml_dask.viewer.static_page import write_page


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Two images of one condition, then one of another."""
    root = tmp_path_factory.mktemp("views")
    items = []
    for k in range(3):
        path = cohorts.table(root / "in" / f"{k}.csv", cohorts.TIGHT, seed=k)
        items.append({"path": str(path), "condition": "ab"[k // 2]})
    return cohorts.screened(root / "out", items)


@pytest.fixture
def screened(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "out")


def held_by(page):
    """Ids of the blocks of a page, and what its pictures lead to."""
    elements = Markup(page).elements
    blocks = [a["id"] for tag, a in elements if tag == "script" and a.get("type") == "text/plain"]
    return blocks, [a["data-view"] for tag, a in elements if "data-view" in a]


def test_all_small_images_are_held(screened):
    names = [view_name(place) for place in range(3)]
    assert held_by(write_report(screened).page.read_text()) == (["view", *names], names)


def test_of_more_than_a_page_holds_the_first_ones_of_all_conditions_are(screened, monkeypatch):
    images = read_results(screened).images
    found = views(images, "condition", range(3))
    assert list(found) == [0, 1, 2]
    monkeypatch.setattr(of_page, "MOST_BYTES", len(found[0]) + len(found[2]))
    assert views(images, "condition", range(3)) == {0: found[0], 2: found[2]}
    assert views(images, "replicate", range(3)) == {0: found[0], 1: found[1]} or len(found[1]) > len(found[2])
    page = write_report(screened).page.read_text()
    assert held_by(page) == (["view", "view-0", "view-2"], ["view-0", "view-2"])
    assert "the page holds 2 of 3 images" in page and "caml-dask view" in page


def test_an_image_that_does_not_fit_leaves_the_page_to_smaller_ones(screened, monkeypatch):
    images = read_results(screened).images
    text = {place: of_page._view(images[place], place) for place in range(3)}
    made = []

    def block(image, place):
        made.append(place)
        return "x" * 500 if place == 0 else text[place]

    monkeypatch.setattr(of_page, "_view", block)
    monkeypatch.setattr(of_page, "_LEAST_BYTES", 0)
    monkeypatch.setattr(of_page, "MOST_BYTES", 500 + len(text[1]))
    images[2].summary["rows"] += 1
    monkeypatch.setitem(text, 2, "x" * (len(text[1]) + 1))
    assert list(views(images, "condition", range(3))) == [0, 1] and made == [0, 2, 1]
    images[1].summary["rows"] = images[2].summary["rows"]
    assert list(views(images, "condition", range(3))) == [0] and made[3:] == [0, 2], "as many cannot fit either"


def test_large_images_are_passed_over(screened, monkeypatch):
    images = read_results(screened).images
    images[1].summary["rows"] += of_page.MOST_HELD
    assert list(views(images, "condition", range(3))) == [0, 2]
    monkeypatch.setattr(of_page, "MOST_HELD", 0)
    page = write_report(screened).page.read_text()
    assert held_by(page) == ([], []) and "Click a picture to open the full one" in page and "atob" not in page


def test_an_image_whose_points_were_altered_keeps_its_picture(screened, caplog):
    image = read_results(screened).images[0]
    with (image.folder / "points.parquet").open("ab") as file:
        file.write(b"!")
    blocks, links = held_by(write_report(screened).page.read_text())
    assert links == ["view-1", "view-2"] and len(blocks) == 3
    assert "0001_0 cannot be zoomed into" in caplog.text and "points.parquet is missing or altered" in caplog.text


def test_a_report_that_compares_nothing_explains_no_tests(screened):
    (run,) = (screened / "nights").iterdir()
    whole = cohorts.read(run)
    whole["images"][0]["csr_test"] = {"p_value": 0.0123}
    cohorts.write(run, whole)
    page = write_report(run).page.read_text()
    assert page.count("<dt>p, beside random fields</dt><dd>0.012</dd>") == page.count("p, beside random fields") == 1
    assert "with <code>--cohort</code>" in page and "report/per_image.csv has all numbers" in page
    assert "Multiple testing" not in page and "curves of drift" not in page and "Conditions that differ" not in page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


def seen(browser, path):
    """Pixels of what the browser shows, by color."""
    browser.screenshot(path)
    image = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    return {color: count for count, color in image.getcolors(1 << 24)}


def drawn(browser, path):
    """Whether the browser shows the dark ground of the viewer, with orange localizations on it."""
    colors = seen(browser, path)
    orange = sum(n for (r, g, b), n in colors.items() if r > 200 and 100 < g < 190 and b < 90)
    return colors.get((9, 11, 17), 0) > 100_000 and orange > 200


def opened(browser, number):
    """Open the image that a picture of the page leads to."""
    browser.wait("document.querySelectorAll('.more button').length === 3")
    browser.run(f"document.querySelectorAll('a[data-view] img')[{number}].click()")
    browser.wait("document.activeElement.tagName === 'IFRAME'")


@needs_chromium
def test_a_picture_opens_its_image_and_nothing_in_it_is_markup(screened, browser, tmp_path):
    shot = tmp_path / "seen.png"
    with listening() as (port, asked):
        poison(screened, port)
        browser.said.clear()
        browser.open(write_report(screened).page.as_uri())
        for leave in (
            lambda: browser.run("document.querySelector('.look > button').click()"),
            lambda: browser.press("Escape"),
        ):
            opened(browser, 1)
            until = time.monotonic() + 30.0
            while not drawn(browser, shot):
                assert time.monotonic() < until, browser.said
                time.sleep(0.3)
            assert browser.run("document.title") == f"Cluster analysis: {screened.name}"
            assert browser.run("document.querySelector('iframe').title") == payload("image-id", port)
            leave()
            browser.wait("!document.querySelector('dialog, iframe')")
            assert not drawn(browser, shot)
        assert (asked, browser.said) == ([], [])


@needs_chromium
def test_a_browser_that_cannot_unpack_images_follows_their_links(screened, browser):
    lacking = browser.call("Page.addScriptToEvaluateOnNewDocument", source="delete window.DecompressionStream")
    browser.open(write_report(screened).page.as_uri())
    browser.wait("document.querySelectorAll('.more').length === 3 && document.readyState === 'complete'")
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=lacking["identifier"])
    clicked = """(() => { const events = [];
        addEventListener("click", (event) => { events.push(event.defaultPrevented); event.preventDefault(); });
        document.querySelector("a[data-view] img").click(); return events; })()"""
    assert browser.run(clicked) == [False] and not browser.run("document.querySelectorAll('.more button').length")


@needs_chromium
def test_what_a_picture_opens_is_the_page_of_that_image(screened, browser, tmp_path):
    (run,) = (screened / "nights").iterdir()
    browser.open(write_report(run).page.as_uri())
    opened(browser, 2)
    frame = browser.run("(({ srcdoc, sandbox }) => [srcdoc, [...sandbox]])(document.querySelector('iframe'))")
    alone = write_page(run, "0003_2", tmp_path / "alone.html").read_text()
    assert frame == [alone, ["allow-scripts", "allow-downloads"]] and "<form" not in alone, "forms need another right"
