"""A unit whose workers died is tried alone: once, whatever else ends meanwhile."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from dask_clients import Kept
from distributed import KilledWorker

from caml_dask.errors import CamlError
from caml_dask.executors import dask as executor
from caml_dask.executors.pending import Due
from caml_dask.executors.roster import Roster
from caml_dask.io.manifest import Image
from caml_dask.pipeline import WINDOW_STAGES
from caml_dask.settings import Settings

LINK = next(stage for stage in WINDOW_STAGES if stage.name == "link")
POISON, BAD, SLOW = (0, "link", 0), (1, "link", 0), (1, "link", 1)


def execution(monkeypatch, client, units, failed):
    """A run on its way, of the units of each image in one stage; images that fail are put in `failed`."""
    monkeypatch.setattr(executor, "barriers", lambda run, index, resumed: iter([Due(LINK, units[index], 2, {})]))
    monkeypatch.setattr(executor, "standing", lambda *_: None)
    watch = SimpleNamespace(
        stage_started=lambda *_: None,
        unit_done=lambda *_: None,
        image_done=lambda *_: None,
        image_failed=lambda image, error: failed.setdefault(image.image_id, str(error)),
    )
    run = SimpleNamespace(
        root=Path("out"),
        digest="",
        settings=Settings("XPILJZ"),
        manifest={"settings_digest": "", "inputs": {}},
        images=[Image(f"image {index}") for index in units],
        store=lambda image: None,
    )
    return executor._Execution(run, client, watch, True, Roster(client, 60.0, lambda: None, None), None)


def test_nothing_else_is_in_flight_beside_the_last_suspect(monkeypatch):
    client = Kept(workers=1)
    work = execution(monkeypatch, client, {index: [(index, "link", 0)] for index in range(4)}, {})
    assert work._fill() and len(client.submitted) == 2
    (_, poison), (_, other) = client.submitted
    poison.end("error", KilledWorker("link", None, 2))
    work._settle(poison)
    assert work._fill() and len(client.submitted) == 2, "it waits until what is in flight has ended"
    other.end("finished", [{"stage": "link", "unit": 0, "rows": 1, "seconds": 1.0}])
    work._settle(other)
    assert work._fill() and work._fill()
    assert [keys for keys, _ in client.submitted[2:]] == [[(0, "link", 0)]]
    client.submitted[2][1].end("finished", [{"stage": "link", "unit": 0, "rows": 1, "seconds": 1.0}])
    work._settle(client.submitted[2][1])
    assert work._fill() and len(client.submitted) > 3


def test_what_was_cancelled_meanwhile_does_not_count_as_company(monkeypatch):
    """One image fails while another's unit is a suspect: its cancelled units end while that is tried alone."""
    client, failed = Kept(workers=2), {}
    work = execution(monkeypatch, client, {0: [POISON], 1: [BAD, SLOW]}, failed)
    outcomes = iter([(POISON, "error"), (BAD, "finished")])
    real = work._ended.next

    def next_(timeout_s):
        if work._ended._queue.empty():  # nothing has ended: let the next unit do so, and the suspect when it is left
            unit, status = next(outcomes, (POISON, "error"))
            outcome = KilledWorker("link", None, 2) if status == "error" else [CamlError("a bad unit")]
            futures = [f for f, batch in work._in_flight.items() if [one.key for one in batch.units] == [unit]]
            futures[-1].end(status, outcome)
        return real(timeout_s)

    monkeypatch.setattr(work._ended, "next", next_)
    work.finish()
    assert len(client.submitted) == 4 and [len(keys) for keys, _ in client.submitted] == [1] * 4
    assert failed["image 1"] == "a bad unit" and "ended its worker each time" in failed["image 0"]
