"""A key of its own for each run on a cluster: connections without it are rejected.

Distributed makes the key. Its files are written here: dask-jobqueue could write them into a shared folder too, but
would leave them there when the run is killed. The folder here is known, for this user alone, and removed by the next
run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Security

PRIVATE = ".tls-"
"""How the name of the folder begins that holds the key of a run."""


@contextmanager
def own_key(scratch: Path) -> Iterator[tuple[Path, Security]]:
    """A folder with a key of this run's own, for this user alone, and what is demanded with it; removed at the end.

    scratch : a folder that all nodes see
    """
    for stale in scratch.glob(f"{PRIVATE}*"):  # of a run that was killed
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PRIVATE, dir=scratch) as private:
        yield Path(private), identity(Path(private))


def identity(folder: Path) -> Security:
    """A fresh self-signed certificate for mutual TLS, written to `folder` as PEM files for this user alone.

    folder : removed by the caller when the run ends; workers read the files there
    """
    from distributed import Security

    made = Security.temporary()
    for name, pem in (("ca", made.tls_ca_file), ("cert", made.tls_worker_cert), ("key", made.tls_worker_key)):
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(pem, encoding="ascii")
    return reading(folder)


def reading(folder: Path) -> Security:
    """What is demanded of all that speak to each other: encryption, and the certificate in `folder`."""
    from distributed import Security

    pem = {
        f"tls_{role}_{part}": str(folder / f"{part}.pem")
        for role in ("scheduler", "worker", "client")
        for part in ("cert", "key")
    }
    return Security(require_encryption=True, tls_ca_file=str(folder / "ca.pem"), **pem)
