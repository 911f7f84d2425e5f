"""What runs promise under faults, in full counts: mutants.py, failpoints.py, damage.py and chaos.py, one after another.

    python tests/faults/faults.py --results tests/faults/results

Stopped, it goes on where it was: results of trials stand in one JSON file a script.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

SCRIPTS = ("mutants", "failpoints", "damage", "chaos")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="folder of the JSON files")
    folder = parser.parse_args().results
    for script in SCRIPTS:
        path = Path(__file__).with_name(f"{script}.py")
        subprocess.run([sys.executable, str(path), "--results", str(folder / f"{script}.json")], check=True)


if __name__ == "__main__":
    main()
