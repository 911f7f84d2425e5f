"""All tables and figures of the comparison with other methods, from nothing: accuracy.py, then rivals.py.

    python benchmarks/compare.py --labelled FOLDER --out benchmarks/results/rivals

Stopped, it goes on where it was: parts are kept under --work.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=Path, help="folder of folders of labelled tables; none without")
    parser.add_argument("--out", type=Path, required=True, help="where tables and figures go")
    parser.add_argument("--work", type=Path, default=Path("build/rivals"), help="where parts are kept")
    parser.add_argument("--workers", type=int, default=2, help="workers of accuracy.py; times are taken one by one")
    parser.add_argument("--smoke", action="store_true", help="small fields and few methods, in under a minute")
    asked = parser.parse_args()
    both = ["--out", str(asked.out), "--work", str(asked.work), *(["--smoke"] if asked.smoke else [])]
    labelled = ["--labelled", str(asked.labelled)] if asked.labelled else []
    accuracy = [str(HERE / "accuracy.py"), *both, *labelled, "--workers", str(asked.workers)]
    for script in (accuracy, [str(HERE / "rivals.py"), *both]):
        subprocess.run([sys.executable, *script], check=True)


if __name__ == "__main__":
    main()
