"""What the fault scripts share with the benchmarks: simulated inputs, tables read back, the machine described."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from harness import machine, tables_of, write_square

__all__ = ["machine", "tables_of", "write_square"]
