"""Pages written from the code: commands, settings, columns, stages, networks; with those of committed results.

Names and defaults stand in the code alone; the pages include what is written here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from from_results import of_results
from markdown_table import table
from pictures import draw_pictures

from caml_dask import schema
from caml_dask.channels.write import figures_in_order, meaning_of
from caml_dask.cli import main
from caml_dask.cli.options import EXIT_CODES
from caml_dask.describing.tables import DESCRIPTION
from caml_dask.following.tables import EVENTS, TRACK_POINTS, TRACKS, WINDOWS
from caml_dask.io.exporters.formats import EXPORTERS
from caml_dask.io.readers.formats import READERS
from caml_dask.methods import AUTO, METHODS, Method, as_text, option_of, required
from caml_dask.networks.cards import card
from caml_dask.networks.registry import NETWORKS
from caml_dask.pipeline import (
    AUTO_MERGING,
    DRIFT_STAGES,
    FIELD_STAGES,
    MERGED_RESULTS,
    METHOD_STAGES,
    STAGE_NAMED,
    WINDOW_STAGES,
)
from caml_dask.settings import ColumnMap, Settings
from caml_dask.stages.stage import Stage


def setup(app: Any) -> dict[str, Any]:
    """Write the pages before Sphinx reads its sources."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "_generated"))
    app.connect("builder-inited", lambda app: draw_pictures(Path(app.srcdir)))
    return {"parallel_read_safe": True}


def write_pages(folder: Path) -> None:
    """Write every generated page as Markdown."""
    folder.mkdir(exist_ok=True)
    pages = {
        "commands": commands(),
        "exit_codes": table(("code", "meaning"), EXIT_CODES.items()),
        "settings": fields_of(Settings),
        "column_map": fields_of(ColumnMap),
        **{f"method_{name}": fields_of(kind, "none: it must be given") for name, kind in METHODS.items()},
        "methods": methods(),
        "points": columns(schema.POINTS),
        "molecules": columns(schema.MOLECULES),
        "drift": columns(schema.DRIFT),
        "clusters": columns(schema.CLUSTERS),
        "clusters_3d": columns(schema.CLUSTERS_3D),
        "carried": columns(schema.CARRIED),
        "figures_of_pairs": table(("figure", "meaning"), ((f"`{f}`", meaning_of(f)) for f in figures_in_order())),
        "description": columns(DESCRIPTION),
        "tracks": columns(TRACKS),
        "track_points": columns(TRACK_POINTS),
        "events": columns(EVENTS),
        "windows": columns(WINDOWS),
        "formats": formats(),
        "exports": exports(),
        "stages": stages(WINDOW_STAGES),
        "field_stages": stages(FIELD_STAGES),
        **{f"stages_{name}": stages(of) for name, of in METHOD_STAGES.items()},
        "merging_stages": stages((*AUTO_MERGING, *MERGED_RESULTS[1:])),
        "drift_stages": stages(DRIFT_STAGES),
        "tables": working_tables(),
        "networks": networks(),
        **of_results(),
    }
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def columns(of: Sequence[schema.Column]) -> str:
    """Columns of a table users see."""
    return table(("column", "type", "meaning"), ((f"`{c.name}`", c.type, c.meaning) for c in of))


def fields_of(kind: type, without_default: str = "by column headers") -> str:
    """Fields of a dataclass with their defaults, and what its docstring says of them."""
    meanings = parameters(kind.__doc__ or "")
    rows = []
    for field in dataclasses.fields(kind):
        default = field.default if field.default is not dataclasses.MISSING else without_default
        rows.append((f"`{field.name}`", f"`{default}`", meanings[field.name]))
    return table(("name", "default", "meaning"), rows)


def parameters(docstring: str) -> dict[str, str]:
    """The descriptions in the Parameters section of a docstring; several names may share one."""
    section = re.search(r"Parameters\n\s*-+\n(.*?)(\n\s*\n\s*\w+\n\s*-+|\Z)", docstring, re.DOTALL)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else ():
        head = re.match(r"    (\w[\w, ]*) : (.*)", line)
        if head:
            names = [name.strip() for name in head[1].split(",")]
            found.update(dict.fromkeys(names, "" if _is_type(head[2]) else head[2]))
        elif names and line.strip():
            found.update({name: f"{found[name]} {line.strip()}".strip() for name in names})
    return {name: re.sub(r"\s*\(:mod:`[^`]+`\)", "", text) for name, text in found.items()}


def _is_type(text: str) -> bool:
    return re.match(r"(str|int|float|bool|tuple|Path|ColumnMap|Mapping|Method|None)\b", text) is not None


def commands() -> str:
    """Every command with its help, as the program prints it."""
    parts = []
    for name, command in main.commands.items():
        context = click.Context(command, info_name=f"caml-dask {name}", max_content_width=100)
        parts += [f"## caml-dask {name}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(parts)


def formats() -> str:
    """The formats that are read, in the order in which a file is offered to them."""
    rows = (
        (
            f"**{reader.name}**",
            ", ".join(f"`{ending}`" for ending in reader.endings),
            reader.recognized,
            reader.reads,
            reader.units,
            reader.export,
        )
        for reader in READERS
    )
    return table(("format", "usual names", "recognized by", "what is read", "units", "how to export it"), rows)


def exports() -> str:
    """The formats that are written."""
    rows = (
        (
            f"`{exporter.name}`",
            ", ".join(f"`{ending}`" for ending in exporter.endings),
            f"{exporter.title}: {exporter.writes}",
            exporter.units,
            exporter.pixels or "-",
            exporter.opens,
        )
        for exporter in EXPORTERS
    )
    return table(("`--to`", "files", "what is written", "units", "`--pixel-nm`", "how to open it"), rows)


def stages(of: Iterable[Stage]) -> str:
    """Stages of an analysis as the pipeline declares them."""
    rows = (
        (
            f"`{s.name}`",
            s.title,
            s.per,
            ", ".join(f"`{t.name}`" for t in s.reads),
            ", ".join(f"`{t.name}`" for t in s.writes),
            s.conserves.meaning,
        )
        for s in of
    )
    return table(("stage", "in words", "a unit is a", "reads", "writes", "law of its rows"), rows)


def working_tables() -> str:
    """The tables that stages exchange."""
    parts = []
    for one in dict.fromkeys(one for stage in STAGE_NAMED.values() for one in stage.writes):
        if one.columns:
            rows = [(f"`{c.name}`", c.type, c.meaning + (" (optional)" if c.optional else "")) for c in one.columns]
            rows += [("...", "", one.others)] if one.others else []
            parts += [f"### `{one.name}`", "", f"{one.meaning} One for each {one.per}.", ""]
            parts += [table(("column", "type", "meaning"), rows), ""]
    return "\n".join(parts)


def methods() -> str:
    """What a run by a network has, and each method lacks."""
    kinds = list(METHODS.values())
    network = NETWORKS["XPILJZ"]
    sides = {None: "2D and 3D", 2: "2D"}

    def from_data(kind: type[Method]) -> str:
        return ", ".join(f"`{option_of(f.name)}`" for f in dataclasses.fields(kind) if AUTO in f.metadata["help"])

    def bound(kind: type[Method]) -> str:
        return "none" if kind.most_localizations is None else f"{kind.most_localizations:,} localizations"

    def given(kind: type[Method]) -> str:
        defaults = {f.name: f.default for f in dataclasses.fields(kind) if f.name not in required(kind.name)}
        named = [f"`{option_of(name)}` (must be given)" for name in required(kind.name)]
        return ", ".join(
            [*named, *(f"`{option_of(n)}`" + ("" if d is None else f" ({as_text(d)})") for n, d in defaults.items())]
        )

    def row(what: str, of_network: str, of: Callable[[type[Method]], str]) -> tuple[str, ...]:
        return (what, of_network, *(of(kind) for kind in kinds))

    rows = [
        row("parameters (defaults)", "none", given),
        row("parameters from the data", "nothing to choose", lambda kind: from_data(kind) or "no"),
        row("scores of localizations", "`p_clustered`, or one of each class", lambda kind: "no"),
        row("classes", "2 or 3", lambda kind: str(len(kind.classes))),
        row("dimensions", "as its network", lambda kind: sides[kind.dimensions]),
        row("exact under any tiling", "yes", lambda kind: "yes"),
        row("bound of size", "none", bound),
        row("smallest cluster, `--min-points`", "3", lambda kind: str(kind.least_members)),
        row("membership of localizations", "yes", lambda kind: "yes"),
        row("outlines, measures, regions, merging, drift, exports", "yes", lambda kind: "yes"),
        row("test against randomness: p by", "the mean score", lambda kind: "the share labeled 1"),
        row("test against randomness: q values", "yes", lambda kind: "yes"),
        row("warnings about training", "yes", lambda kind: "none"),
        row("`window_saturated`, `--save-features`", f"networks of windows, such as {network.name}", lambda kind: "no"),
        row("`caml-dask follow`, `caml-dask evaluate`", "yes", lambda kind: "no"),
    ]
    return table(("", "networks", *(f"`{kind.name}`" for kind in kinds)), rows)


def networks() -> str:
    """The networks with figures of their cards."""
    rows = []
    for name, spec in NETWORKS.items():
        test = card(name)["results"]["test"]
        csr = card(name)["results"]["csr_percent_called_clustered_by_density_per_um2"].values()
        rows.append(
            (
                f"`{name}`",
                f"`{spec.alias}`",
                f"{spec.dimensions}D, {spec.n_neighbors:,}",
                " / ".join(spec.classes),
                f"{100 * test['accuracy']:.1f} %",
                f"{min(csr):.0f} to {max(csr):.0f} %",
                spec.holds,
                spec.fails,
            )
        )
    header = (
        "network",
        "alias",
        "input, neighbors",
        "classes",
        "accuracy",
        "called clustered in CSR",
        "for",
        "not for",
    )
    return table(header, rows)
