"""A unit whose workers died is tried alone: once, whatever else ends meanwhile."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from distributed import KilledWorker

from caml_dask.errors import CamlError
from caml_dask.executors import dask as executor
from caml_dask.pipeline import WINDOW_STAGES

LINK = next(stage for stage in WINDOW_STAGES if stage.name == "link")
POISON, BAD, SLOW = (0, "link", 0), (1, "link", 0), (1, "link", 1)


class Future:
    """As the executor uses one of Dask's."""

    def __init__(self):
        self.status, self._outcome, self._told = "pending", None, []

    def add_done_callback(self, tell):
        self._told.append(tell)

    def end(self, status, outcome=None):
        self.status, self._outcome = status, outcome
        for tell in self._told:
            tell(self)

    def cancel(self):
        self.end("cancelled")

    def result(self, timeout):
        return self._outcome

    def exception(self):
        return self._outcome


class Client:
    """Keeps what is submitted."""

    status = "running"
    scheduler = SimpleNamespace(identity=None)

    def __init__(self):
        self.submitted = []

    def sync(self, ask, n_workers, callback_timeout):
        return {"workers": {"one": {}}}

    def submit(self, task, root, which, unit, key, pure):
        self.submitted.append((unit, Future()))
        return self.submitted[-1][1]


def test_what_was_cancelled_meanwhile_does_not_count_as_company(monkeypatch):
    """One image fails while another's unit is a suspect: its cancelled units end while that is tried alone."""
    units = {0: [POISON], 1: [BAD, SLOW]}
    monkeypatch.setattr(executor, "barriers", lambda run, index, resumed: iter([(LINK, units[index], 2)]))
    client, failed = Client(), {}
    watch = SimpleNamespace(
        stage_started=lambda *_: None,
        image_failed=lambda image, error: failed.setdefault(image.image_id, str(error)),
    )
    run = SimpleNamespace(
        root=Path("out"),
        digest="",
        manifest={"settings_digest": ""},
        images=[SimpleNamespace(image_id="poisoned"), SimpleNamespace(image_id="bad")],
    )
    work = executor._Execution(run, client, watch, resumed=False, wait_s=60.0, check=lambda: None)
    killed = KilledWorker("link", None, 2)
    outcomes = iter([(POISON, "error", killed), (BAD, "finished", CamlError("a bad unit"))])
    real = work._ended.next

    def next_(timeout_s):
        if work._ended._queue.empty():  # nothing has ended: let the next unit do so, and the suspect when it is left
            key, status, outcome = next(outcomes, (POISON, "error", killed))
            [future for unit, future in client.submitted if unit == key][-1].end(status, outcome)
        return real(timeout_s)

    monkeypatch.setattr(work._ended, "next", next_)
    work.finish()
    assert [unit for unit, _ in client.submitted].count(POISON) == 2
    assert failed["bad"] == "a bad unit" and "ended its worker each time" in failed["poisoned"]
