"""The fault scripts run, on a few trials each: they must not rot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FAULTS = Path(__file__).parent


def smoke(script: str, results: Path, *options: str) -> dict:
    command = [sys.executable, str(FAULTS / script), "--smoke", "--results", str(results), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(results.read_text())


def test_chaos_smoke(tmp_path):
    found = smoke("chaos.py", tmp_path / "chaos.json")["summary"]
    assert set(found) == {"driver", "after-record", "scheduler"}
    for part in found.values():
        assert part["kills"] >= 1 and part["units"] == 45
        assert part["tables_that_differ"] == part["finished_units_run_again"] == part["working_files_left"] == 0
        assert part["most_attempts_at_a_unit_in_one_call"] <= 6
    assert found["after-record"]["given_when_done"] >= found["after-record"]["kills"]
    assert found["scheduler"]["ended_otherwise"] == []


def test_stopped_at_file_operations_smoke(tmp_path):
    """SIGKILL, or a full disk, at every 60th file operation of a run; and small disks, where they may be mounted."""
    found = smoke("failpoints.py", tmp_path / "failpoints.json", "--every", "60")
    assert [found[part]["faults"] for part in ("killed", "full", "small-disk")] == [[], [], []]
    assert found["killed"]["operations"] > 500
    assert found["killed"]["tried"] == found["full"]["tried"] > 8


def test_damage_smoke(tmp_path):
    """Bits flipped and files cut short, of results, records, manifest, working tables and weights."""
    found = smoke("damage.py", tmp_path / "damage.json")
    parts = ("results", "records", "manifest", "working", "weights")
    assert [found[part]["faults"] for part in parts] == [[]] * 5
    assert [found[part]["flipped"] for part in parts] == [10, 3, 1, 3, 10]
    assert sum(found[part]["cut"] for part in parts) == 12
