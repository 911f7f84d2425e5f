"""Damaged inputs of every format that is read: an error of ours that names the file, or valid tables, and no hang.

    python tests/faults/mutants.py --results tests/faults/results/mutants.json

A mutant is an intact file cut short, or with some of its bytes replaced, and at times a piece of it repeated. Each is
read as a run reads it, channels first, in a process that a watchdog ends where one takes longer than 10 s; the memory
of that process must not double. Some mutants are valid files: how many were refused is told, and by which messages.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import gzip
import io
import json
import multiprocessing
import re
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import scipy.io
from common import machine

from caml_dask.errors import CamlError, InputError
from caml_dask.executors.deployment.clusters import cores
from caml_dask.io.fields import write_field
from caml_dask.io.readers.sources import list_channels, open_source
from caml_dask.settings import ColumnMap
from caml_dask.simulate import field_rng, scenario_named, simulate

MUTANTS = 1000
ROWS = 40
LONGEST_S = 10
_COORDINATES = [pa.uint64(), pa.float64(), pa.float64()]


def thunderstorm() -> bytes:
    """As the plug-in writes CSV."""
    rows = (f"{i},{i // 3},{i * 10.5},{i * 7.25},120.5,NaN,8.5" for i in range(ROWS))
    header = '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","uncertainty_xy [nm]"'
    return "\r\n".join([header, *rows, ""]).encode()


def thunderstorm_xls() -> bytes:
    """As it writes .xls, which is tab-separated text."""
    return thunderstorm().replace(b",", b"\t")


def caml() -> bytes:
    """A table of the CAML scripts, of two channels."""
    rows = (f"{i}.5\t{i}\t{i % 4}\tclustered\t{i % 2}" for i in range(ROWS))
    return "\n".join(["x (nm)\ty (nm)\tCluster UID\tClass Label\tChannel UID", *rows]).encode()


def nanoimager() -> bytes:
    """An ONI Nanoimager's table, of two channels."""
    header = "Channel,Frame,X (nm),Y (nm),Z (nm),X precision (nm),Y precision (nm),Photons,Background"
    return "\n".join(
        [header, *(f"{i % 2},{i},{i * 3.5},{i * 2.5},0,9.1,8.2,{900 + i},12.5" for i in range(ROWS))]
    ).encode()


def semicolons() -> bytes:
    """Decimal commas, latin-1, quoted text."""
    rows = (f'{i},5;{i},25;"n {i}";' for i in range(ROWS))
    return "\n".join(["x [µm];y [µm];note;", *rows]).encode("latin-1")


def blanks() -> bytes:
    """Columns set apart by blanks."""
    return "\n".join(["# x_nm y_nm frame", *(f" {i}.5  {i}.25 {i}" for i in range(ROWS))]).encode()


def headless() -> bytes:
    """Numbers alone, named by their places."""
    return "\n".join(f"{i * 1.5},{i * 2.5},{i}" for i in range(ROWS)).encode()


def parquet() -> bytes:
    """Several row groups, checksums, a dictionary."""
    sink = pa.BufferOutputStream()
    n = np.arange(ROWS)
    table = pa.table({"x_nm": n * 1.5, "y_nm": n * 2.5, "frame": n, "dye": [f"dye {i % 2}" for i in n]})
    pq.write_table(table, sink, row_group_size=16, write_page_checksum=True)
    return bytes(sink.getvalue())


def parquet_plain() -> bytes:
    """As most programs write it: no checksums."""
    sink = io.BytesIO()
    n = np.arange(ROWS)
    pq.write_table(pa.table({"x [um]": n * 0.5, "y [um]": n * 0.25, "z [um]": n * 0.1, "words": n.astype(str)}), sink)
    return sink.getvalue()


def _simulated(name: str, suffix: str) -> bytes:
    scenario = scenario_named(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"field{suffix}"
        write_field(simulate(scenario, field_rng(scenario, 0)), path, {"scenario": name})
        return path.read_bytes()


def simulated_csv() -> bytes:
    """A field of `caml-dask simulate`, in 3D: its first rows."""
    return b"\n".join(_simulated("slab-z150-p20-r50-c50-d20", ".csv").splitlines()[: ROWS + 1]) + b"\n"


def simulated_parquet() -> bytes:
    """A field of `caml-dask simulate --format parquet`."""
    return _simulated("uniform-p20-r50-c50-d5", ".parquet")


def elyra() -> bytes:
    """As ZEN writes it: latin-1, and settings after the table."""
    header = "Index\tFirst Frame\tPosition X [nm]\tPosition Y [nm]\tPrecision [nm]\tNumber Photons\tChannel"
    rows = (f"{i + 1}\t{i // 2}\t{i * 10.5}\t{i * 5.25}\t8.5\t{400 + i}\t1" for i in range(ROWS))
    return "\r\n".join([header, *rows, "\0\r\r\nVoxelSizeX : 0.1 \xb5m\r\r\nSizeX : 3200\r\r\n"]).encode("latin-1")


def nstorm() -> bytes:
    """A molecule list of two channels."""
    header = "Channel Name\tX\tY\tXc\tYc\tFrame\tLength\tZ\tZc\tPhotons\tLateral Localization Accuracy"
    rows = (f"{640 + i % 2}\t{i}.5\t{i}\t{i}.25\t{i}.75\t{i}\t1\t0\t0\t900\t12.5" for i in range(ROWS))
    return "\r\n".join([header, *rows, ""]).encode()


_FIELD = '<field identifier="{}" unit="{}" min="0 m" />'
_FIELDS = "".join(
    _FIELD.format(name, unit)
    for name, unit in (
        ("Position-0-0", "nanometer"),
        ("Position-1-0", "nanometer"),
        ("ImageNumber-0-0", "frame"),
        ("Amplitude-0-0", "A/D count"),
    )
)


def rapidstorm() -> bytes:
    """A description of the fields, then rows."""
    rows = (f"{i}.5 {i}.25 {i} 1.19225e+006" for i in range(ROWS))
    return "\n".join([f"# <localizations>{_FIELDS}</localizations>", *rows, ""]).encode()


def rapidstorm_tracks() -> bytes:
    """Tracks of one to three localizations."""
    tracks = (f"{i} {i} {i} 7 {i % 3 + 1}" + f" {i}.5 {i}.25 {i} 7" * (i % 3 + 1) for i in range(ROWS))
    head = f"# <localizations>{_FIELDS}<localizations>{_FIELDS}</localizations></localizations>"
    return "\n".join([head, *tracks, ""]).encode()


def pyminflux() -> bytes:
    """As pyMINFLUX exports it, with the numbers of rows in front."""
    rows = (f"{i},{i // 4},{i * 0.1},{i}.5,{i}.25,0,40000,0.5,100,0.3,{i % 2}" for i in range(ROWS))
    return "\n".join([",tid,tim,x,y,z,efo,cfr,eco,dcr,fluo", *rows, ""]).encode()


def _hdf5(write: Callable[[h5py.File], object]) -> bytes:
    sink = io.BytesIO()
    with h5py.File(sink, "w") as file:
        write(file)
    return sink.getvalue()


def picasso() -> bytes:
    """Records, and the metadata inside, as 0.11 writes them."""
    n = np.arange(ROWS)
    records = np.zeros(ROWS, [("frame", "u4"), *((name, "f4") for name in ("x", "y", "photons", "bg", "lpx", "lpy"))])
    records["frame"], records["x"], records["y"], records["lpx"] = n, n * 0.5, n * 0.25, 0.05

    def write(file: h5py.File) -> None:
        file["locs"] = records
        file["metadata"] = json.dumps([{"Width": 64, "Height": 64, "Frames": ROWS}, {"Pixelsize": 130}])

    return _hdf5(write)


def smap() -> bytes:
    """MATLAB v7.3: vectors of one row, packed, after a block of MATLAB's own."""
    n = np.arange(ROWS, dtype=np.float32)[None]

    def write(file: h5py.File) -> None:
        for name, values in {
            "xnm": n * 10,
            "ynm": n * 5,
            "znm": n,
            "frame": n,
            "phot": n + 100,
            "channel": n % 2,
        }.items():
            file.create_dataset(f"saveloc/loc/{name}", data=values, compression="gzip", chunks=(1, 16))

    return b"MATLAB 7.3 MAT-file".ljust(512) + _hdf5(write)


def decode() -> bytes:
    """Emitters in pixels whose sides differ."""
    n = np.arange(ROWS, dtype=np.float32)
    xyz = np.column_stack([n, n * 0.5, n * 10])

    def write(file: h5py.File) -> None:
        for name, values in {"xyz": xyz, "xyz_sig": xyz * 0.01, "phot": n, "frame_ix": np.arange(ROWS)}.items():
            file[f"data/{name}"] = values
        file.create_group("meta").attrs.update(xy_unit="px", px_size=np.float32([127, 117]))

    return _hdf5(write)


def smlm() -> bytes:
    """Two tables, of a channel each."""
    row = np.dtype([("frame", "<i4"), ("x", "<f4"), ("y", "<f4")])
    form = {"mode": "binary", "type": "table", "headers": list(row.names), "dtype": ["int32", "float32", "float32"]}
    form |= {"shape": [1, 1, 1], "units": ["", "nm", "nm"]}
    files = [{"name": f"{i}.bin", "type": "table", "format": "f", "channel": f"c{i}", "rows": str(ROWS)} for i in "ab"]
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps({"format_version": "0.2", "formats": {"f": form}, "files": files}))
        for one in files:
            values = np.zeros(ROWS, row)
            values["x"], values["y"] = np.arange(ROWS) * 1.5, np.arange(ROWS)
            archive.writestr(str(one["name"]), values.tobytes())
    return sink.getvalue()


def _iterations(n: int, iterations: int) -> np.ndarray:
    itr = np.dtype([("itr", "<i4"), ("loc", "<f8", (3,)), ("eco", "<i4"), ("cfr", "<f8")])
    made = np.zeros(n, [("itr", itr, (iterations,)), ("tim", "<f8"), ("tid", "<i4"), ("vld", "?")])
    made["itr"]["loc"] = np.arange(n)[:, None, None] * 1e-8
    made["tid"], made["vld"] = np.arange(n) // 3, True
    return made


def _npy(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def minflux() -> bytes:
    """Iterations nested in a localization."""
    return _npy(_iterations(ROWS, 5))


def minflux_flat() -> bytes:
    """An iteration a row, half of them the last."""
    made = np.zeros(
        2 * ROWS, [("itr", "<i4"), ("loc", "<f8", (3,)), ("tid", "<i4"), ("vld", "?"), ("dcr", "<f4", (2,))]
    )
    made["itr"], made["vld"], made["loc"] = np.arange(2 * ROWS) % 2, True, np.arange(2 * ROWS)[:, None] * 1e-8
    return _npy(made)


def _mat(variables: dict[str, Any], packed: bool = False) -> bytes:
    sink = io.BytesIO()
    scipy.io.savemat(sink, variables, do_compression=packed)
    return sink.getvalue()


def minflux_mat() -> bytes:
    """Iterations nested, in MATLAB."""
    made = _iterations(ROWS, 5)
    inner = {name: made["itr"][name] for name in ("itr", "loc", "eco")}
    outer = {name: made[name][:, None] for name in ("tim", "tid")}
    return _mat({"itr": inner, "vld": made["vld"][:, None] * 1, **outer})


def smap_5() -> bytes:
    """MATLAB before 7.3: a structure in a structure."""
    n = np.arange(ROWS, dtype=np.float32)[:, None]
    return _mat({"saveloc": {"loc": {"xnm": n * 10, "ynm": n * 5, "frame": n, "phot": n}, "history": "none"}})


def matlab() -> bytes:
    """Vectors of no program, packed."""
    return _mat({"x": np.arange(ROWS) * 1.5, "y": np.arange(ROWS) * 2.5, "t": np.arange(ROWS)}, packed=True)


def npy_numbers() -> bytes:
    """Coordinates alone, a column after the other."""
    return _npy(np.asfortranarray(np.arange(ROWS * 3, dtype=np.float64).reshape(ROWS, 3)))


def feather() -> bytes:
    """Packed batches of Arrow, with a dictionary."""
    n, sink = np.arange(ROWS), io.BytesIO()
    table = pa.table(
        {"x_nm": n * 1.5, "y_nm": n * 2.5, "dye": pa.array([f"dye {i % 2}" for i in n]).dictionary_encode()}
    )
    pyarrow.feather.write_feather(table, sink, chunksize=16)
    return sink.getvalue()


def gzipped() -> bytes:
    """A table of text, packed."""
    return gzip.compress(thunderstorm(), mtime=0)


def zipped() -> bytes:
    """Two tables, and a note that is none."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/cell.csv", thunderstorm())
        archive.writestr("a/cells.tsv", caml())
        archive.writestr("readme.txt", "two tables")
    return sink.getvalue()


FORMATS: dict[str, tuple[Callable[[], bytes], ColumnMap]] = {
    "ThunderSTORM csv": (thunderstorm, ColumnMap()),
    "ThunderSTORM xls": (thunderstorm_xls, ColumnMap()),
    "CAML tsv": (caml, ColumnMap()),
    "ONI Nanoimager": (nanoimager, ColumnMap()),
    "semicolons": (semicolons, ColumnMap()),
    "blanks": (blanks, ColumnMap()),
    "no header": (headless, ColumnMap(x="1", y="2", unit="nm")),
    "Parquet": (parquet, ColumnMap(channel="dye")),
    "Parquet, plain": (parquet_plain, ColumnMap()),
    "simulated csv": (simulated_csv, ColumnMap()),
    "simulated Parquet": (simulated_parquet, ColumnMap()),
    "Zeiss ELYRA": (elyra, ColumnMap()),
    "N-STORM": (nstorm, ColumnMap()),
    "rapidSTORM": (rapidstorm, ColumnMap()),
    "rapidSTORM tracks": (rapidstorm_tracks, ColumnMap()),
    "pyMINFLUX": (pyminflux, ColumnMap()),
    "SMLM": (smlm, ColumnMap()),
    "MINFLUX": (minflux, ColumnMap()),
    "MINFLUX, flat": (minflux_flat, ColumnMap()),
    "MINFLUX mat": (minflux_mat, ColumnMap()),
    "SMAP, MATLAB 5": (smap_5, ColumnMap()),
    "MATLAB": (matlab, ColumnMap(x="x", y="y", unit="nm")),
    "numpy": (npy_numbers, ColumnMap(x="1", y="2", z="3", unit="nm")),
    "Feather": (feather, ColumnMap(channel="dye")),
    "gzip": (gzipped, ColumnMap()),
    "ZIP": (zipped, ColumnMap()),
    "Picasso": (picasso, ColumnMap()),
    "SMAP": (smap, ColumnMap()),
    "DECODE": (decode, ColumnMap()),
}


def mutant(content: bytes, rng: np.random.Generator) -> bytes:
    """A quarter of them cut short; of the others some bytes replaced, and in a quarter a piece repeated."""
    damaged = bytearray(content)
    if rng.random() < 0.25:
        return bytes(damaged[: rng.integers(len(damaged))])
    for _ in range(rng.integers(1, 4)):
        damaged[rng.integers(len(damaged))] = rng.integers(256)
    if rng.random() < 0.25:
        at, size = rng.integers(len(damaged)), rng.integers(1, 20)
        damaged[at:at] = damaged[at : at + size]
    return bytes(damaged)


def read(path: Path, columns: ColumnMap) -> int:
    """Read all images of a file as a run does, checking the tables; how many rows there are.

    Raises
    ------
    CamlError : what a run would tell.
    ValueError : tables that are not valid.
    """
    rows = 0
    for channel in list_channels(path, columns):
        for table in open_source(path, columns, channel, settle=True).tables(7):
            table.validate(full=True)
            if table.schema.types[:3] != _COORDINATES:
                raise ValueError(f"columns of types {table.schema.types[:3]}")
            rows += table.num_rows
    return rows


def try_format(name: str, mutants: int, seed: int = 0) -> dict[str, Any]:
    """What became of mutants of one format, read in this process."""
    make, columns = FORMATS[name]
    intact, rng = make(), np.random.default_rng([seed, *name.encode()])
    messages: collections.Counter[str] = collections.Counter()
    faults, longest = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input"
        path.write_bytes(intact)
        rows, before = read(path, columns), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(mutants):
            path.write_bytes(mutant(intact, rng))
            faulthandler.dump_traceback_later(LONGEST_S, exit=True)
            start = time.monotonic()
            try:
                read(path, columns)
            except InputError as error:
                messages[_kind(error)] += 1
                if error.path != path:
                    faults.append(f"{number}: names {error.path}: {error}")
            except CamlError as error:
                faults.append(f"{number}: not of the input: {type(error).__name__}: {error}")
            except Exception as error:
                faults.append(f"{number}: {type(error).__name__}: {error}")
            longest = max(longest, time.monotonic() - start)
        faulthandler.cancel_dump_traceback_later()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / before
    return {
        "format": name,
        "rows_of_the_intact_file": rows,
        "mutants": mutants,
        "refused": sum(messages.values()),
        "read": mutants - sum(messages.values()) - len(faults),
        "faults": faults + ([f"memory grew {grown:.2f} times"] if grown > 2 else []),
        "longest_s": round(longest, 3),
        "memory_grew_times": round(grown, 3),
        "messages": dict(messages.most_common(12)),
    }


def _kind(error: InputError) -> str:
    """A message without what differs from one file to the next."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "_", error.message)[:80]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=MUTANTS, help="of each format")
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS), metavar="NAME")
    parser.add_argument("--results", type=Path, help="JSON file to write; printed either way")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")  # each format in a process whose memory was never used before
    with ProcessPoolExecutor(cores(), mp_context=spawn, max_tasks_per_child=1) as pool:
        tried = list(pool.map(partial(try_format, mutants=options.mutants), options.formats))
    result = {"faults": sum(len(t["faults"]) for t in tried), "formats": tried, "machine": machine()}
    print(json.dumps(result, indent=1))
    if options.results:
        options.results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
