"""Pages written from the code: commands, settings, columns, stages, networks, and tables of committed results.

Names, defaults and figures stand in the code and in the result files alone; the pages include what is written here.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from caml_dask import schema
from caml_dask.channels.write import figures_in_order, meaning_of
from caml_dask.cli import main
from caml_dask.cli.options import EXIT_CODES
from caml_dask.following.tables import EVENTS, TRACK_POINTS, TRACKS, WINDOWS
from caml_dask.io.exporters.formats import EXPORTERS
from caml_dask.io.readers.formats import READERS
from caml_dask.networks.cards import card
from caml_dask.networks.registry import NETWORKS
from caml_dask.pipeline import AUTO_MERGING, DRIFT_STAGES, FIELD_STAGES, MERGED_RESULTS, STAGE_NAMED, WINDOW_STAGES
from caml_dask.settings import ColumnMap, Settings
from caml_dask.stages.stage import Stage

_FIXED = "\N{NO-BREAK SPACE}"
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def setup(app: Any) -> dict[str, Any]:
    """Write the pages before Sphinx reads its sources."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "_generated"))
    return {"parallel_read_safe": True}


def write_pages(folder: Path) -> None:
    """Write every generated page as Markdown."""
    folder.mkdir(exist_ok=True)
    pages = {
        "commands": commands(),
        "exit_codes": table(("code", "meaning"), EXIT_CODES.items()),
        "settings": fields_of(Settings),
        "column_map": fields_of(ColumnMap),
        "points": columns(schema.POINTS),
        "molecules": columns(schema.MOLECULES),
        "drift": columns(schema.DRIFT),
        "clusters": columns(schema.CLUSTERS),
        "clusters_3d": columns(schema.CLUSTERS_3D),
        "carried": columns(schema.CARRIED),
        "figures_of_pairs": table(("figure", "meaning"), ((f"`{f}`", meaning_of(f)) for f in figures_in_order())),
        "tracks": columns(TRACKS),
        "track_points": columns(TRACK_POINTS),
        "events": columns(EVENTS),
        "windows": columns(WINDOWS),
        "following": following(),
        "following_seconds": following_seconds(),
        "formats": formats(),
        "exports": exports(),
        "stages": stages(WINDOW_STAGES),
        "field_stages": stages(FIELD_STAGES),
        "merging_stages": stages((*AUTO_MERGING, *MERGED_RESULTS[1:])),
        "drift_stages": stages(DRIFT_STAGES),
        "tables": working_tables(),
        "networks": networks(),
        "speed": speed(),
        "scale": scale(),
        "comparison": comparison(),
        "labelled": labelled(),
        "drift_correction": drift_correction(),
        "merging": merging(),
        "reading": reading(),
        "merged_tables": merged_tables(),
        "randomness_noise": randomness_noise(),
        "randomness_rates": randomness_rates(),
        "randomness_power": randomness_power(),
        "merged_clusters": merged_clusters(),
    }
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in lines)


def columns(of: Sequence[schema.Column]) -> str:
    """Columns of a table users see."""
    return table(("column", "type", "meaning"), ((f"`{c.name}`", c.type, c.meaning) for c in of))


def fields_of(kind: type) -> str:
    """Fields of a dataclass with their defaults, and what its docstring says of them."""
    meanings = parameters(kind.__doc__ or "")
    rows = []
    for field in dataclasses.fields(kind):
        default = field.default if field.default is not dataclasses.MISSING else "by column headers"
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
    return found


def _is_type(text: str) -> bool:
    return re.match(r"(str|int|float|bool|tuple|Path|ColumnMap|Mapping|None)\b", text) is not None


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


def speed() -> str:
    """Pairs of speed.json: ours beside another implementation, medians of both."""
    rows = []
    for pair in json.loads((RESULTS / "speed.json").read_text())["measured"]:
        what, beside = pair["pair"].split(" / ", 1)
        ours, theirs = pair["median_ours_s"], pair["median_theirs_s"]
        rows.append((what, f"`{beside}`", f"{ours:.3g} s", f"{theirs:.3g} s", f"{pair['ratio']:.2g}"))
    return table(("what", "beside", "caml_dask", "the other", "times faster"), rows)


def scale() -> str:
    """Runs of scale.json, each kind once: medians of wall time and memory of `caml-dask run`."""
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in json.loads((RESULTS / "scale.json").read_text())["runs"]:
        key = (run["images"], run["each"], run["hot_spot"], run["model"], run["workers"])
        kinds.setdefault(key, []).append(run)
    rows = []
    for (images, each, hot_spot, network, workers), runs in sorted(kinds.items(), key=lambda kind: kind[0][:2][::-1]):
        what = f"{images:,} image{'s'[: images != 1]} of {each:,}" + (
            ", half of it in 1 % of the area" if hot_spot else ""
        )
        wall = statistics.median(run["wall_s"] for run in runs)
        rate = statistics.median(run["localizations_per_s"] for run in runs)
        memory = max(run["peak_rss_gib"] for run in runs)
        rows.append((what, network, workers, len(runs), f"{wall:,.1f} s", f"{rate:,.0f}", f"{memory:.2f} GiB"))
    header = ("input", "network", "workers", "runs", "wall time, median", "localizations/s", "peak memory")
    return table(header, rows)


def drift_correction() -> str:
    """Root mean square error of estimated drift by structure, method and number of localizations."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in json.loads((RESULTS / "drift_correction.json").read_text()):
        errors = ", ".join(f"{error:.2f}" for error in row["rmse_nm"])
        found.setdefault((row["structure"], row["method"]), []).append(f"{errors} nm; {row['seconds']:.1f} s")
    header = ("structure", "method", "100,000 localizations: x, y; time", "1,000,000 localizations")
    return table(header, ((structure, f"`{method}`", *of) for (structure, method), of in found.items()))


def merging() -> str:
    """Rules of merging on fields whose molecules are known: Rand index, and molecules counted over those there are."""
    found: dict[str, dict[str, str]] = {}
    for row in json.loads((RESULTS / "merging.json").read_text())["molecules"]:
        figures = f"{_short(row['ari'])}, {_short(row['counted'])}"
        said = f"{figures} ({row['rule']})" if row["choice"] == "best" else figures
        found.setdefault(row["structure"], {})[row["choice"]] = said
    header = ("structure", "`auto`", "50 nm, 25 frames", "best radius and gap on the truth")
    return table(header, ((name, of["auto"], of["published"], of["best"]) for name, of in found.items()))


def merged_clusters() -> str:
    """Rand index of clusters on simulated fields before and after merging; percent clustered where there are none."""
    found: dict[tuple[int, str], dict[str, str]] = {}
    for row in json.loads((RESULTS / "merging.json").read_text())["clusters"]:
        if row["percent_clustered"] is None:
            figure = "too few"
        elif row["ari"] is None:
            figure = f"{row['percent_clustered']:.0f} % clustered"
        else:
            figure = _short(row["ari"])
        found.setdefault((row["scenario"], row["network"]), {})[row["of"]] = figure
    fields = ("clusters of 20, half of all", "clusters of 50, 30 % of all", "no clusters")
    groups = ("detections", "50nm,25frames", "auto", "true molecules")
    rows = ((fields[number], name, *(of[group] for group in groups)) for (number, name), of in found.items())
    return table(("field", "network", "detections", "50 nm, 25 frames", "`auto`", "true molecules"), rows)


def merged_tables() -> str:
    """Real tables before and after merging: clusters, and the share of them that is smaller than the precision."""
    found: dict[str, list[dict[str, object]]] = {}
    for row in json.loads((RESULTS / "merging.json").read_text())["real"]:
        found.setdefault(row["table"], []).append(row)
    rows = []
    for name, (before, after) in found.items():
        shares = (
            "none" if of["below_precision"] is None else f"{100 * of['below_precision']:.0f} %"
            for of in (before, after)
        )
        times = after["precision_times_stated"]
        rows.append(
            (
                f"`{name}`",
                f"{before['detections']:,}",
                f"{after['detections_per_molecule']:.1f}",
                "nothing merged" if times is None else f"{times:.1f}",
                f"{before['clusters']:,}, {after['clusters']:,}",
                ", ".join(shares),
            )
        )
    header = (
        "table",
        "detections",
        "detections a molecule",
        "precision found / stated",
        "clusters before, after",
        "smaller than the median precision before, after",
    )
    return table(header, rows)


def reading() -> str:
    """Sample files of other programs as read here and by an independent reader."""
    with (RESULTS / "reading.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            (f"`{row['file']}`", row["format"], row["by"], row["rows"], row["independent_rows"], row["equal"].lower())
            for row in csv.DictReader(file)
        ]
    return table(("file", "format", "independent reader", "rows", "rows it reads", "rows and extents equal"), rows)


def randomness_noise() -> str:
    """The test against randomness on noise: p values below .05, clusters found, fields with a cluster left."""
    rows = []
    for row in json.loads((RESULTS / "randomness.json").read_text())["noise"]:
        kind = f"re-blinking, {row['per_um2']:.0f} per um2" if row["reblinks"] else "molecules"
        figures = (f"{100 * row['below .05']:.0f} %", f"{row['clusters']:.1f}", f"{100 * row['any left']:.0f} %")
        rows.append((row["network"], kind, f"{row['localizations']:,}", row["fields"], *figures))
    return table(
        ("network", "noise", "localizations", "fields", "p below 0.05", "clusters a field", "any left at 0.05"), rows
    )


def randomness_rates() -> str:
    """Realised false discovery rates beside the stated ones."""
    found: dict[float, dict[str, str]] = {}
    for row in json.loads((RESULTS / "randomness.json").read_text())["rates"]:
        said = f"{row['realised']:.3f} of {row['kept']:,} clusters"
        found.setdefault(row["stated"], {})[row["network"]] = said
    networks = list(next(iter(found.values())))
    return table(("stated rate", *networks), ((rate, *(of[n] for n in networks)) for rate, of in found.items()))


def randomness_power() -> str:
    """Share of fields with clusters of some contrast that the test finds."""
    found: dict[str, dict[float, str]] = {}
    for row in json.loads((RESULTS / "randomness.json").read_text())["power"]:
        found.setdefault(row["network"], {})[row["contrast"]] = f"{100 * row['found']:.0f} %"
    contrasts = list(next(iter(found.values())))
    return table(
        ("network", *(f"{contrast:g}" for contrast in contrasts)),
        ((name, *of.values()) for name, of in found.items()),
    )


def following() -> str:
    """Events of simulated films and those found, by the localizations of a disc and around it."""
    rows = []
    for row in json.loads((RESULTS / "following.json").read_text())["by_density"]:
        events = (f"{e['found']}/{e['true']},{_FIXED}+{e['false']}" for e in row["events"].values())
        about = (f"{row['localizations_of_a_disc']:.0f}", f"{row['others_in_a_window']:,.0f}", row["step_windows"])
        share = f"{100 * row['discs_in_one_track'] / row['discs']:.0f} %"
        rows.append((*about, *events, share, f"{row['median_lifetime_to_true']:.2f}"))
    header = ("of a disc", "others", "step, windows", "appear", "vanish", "merge", "split")
    return table((*header, "in one track", "lifetime to true"), rows)


def following_seconds() -> str:
    """Seconds of following beside those of as many small images."""
    row = json.loads((RESULTS / "following.json").read_text())["seconds"]
    times = [f"{statistics.median(row[name]):.0f} s" for name in ("follow_s", "run_of_small_images_s")]
    return table(
        ("localizations", "windows", "`follow`", "`run`", "ratio"),
        [(f"{row['localizations']:,}", row["windows"], *times, f"{row['ratio']:.2f}")],
    )


def comparison() -> str:
    """Adjusted Rand index by method: mean over scenarios, and over the folders that every network can take."""
    found = rows_of("rivals/accuracy_by_group.csv")
    wanted = {row["group"] for row in found if row["method"] == "CAML 87B144"}
    csr = {group for group in wanted if group.startswith("csr")}
    blinking = {group for group in wanted if "blinking" in group}
    simulated = {row["group"] for row in found if row["kind"] == "simulated"} - csr
    times = {
        (row["method"], row["localizations"]): row
        for row in rows_of("rivals/times.csv")
        if "csr" not in row["scenario"]
    }
    rows = []
    for method in dict.fromkeys(row["method"] for row in found):
        mine = [row for row in found if row["method"] == method]
        cells = [_by_choice(mine, groups) for groups in (simulated, wanted - simulated - csr - blinking, blinking)]
        called = [float(r["percent_called_clustered"]) for r in mine if r["group"] in csr and r["choice"] == "default"]
        seconds = [_seconds(times.get((method, n))) for n in ("100000", "1000000")]
        rows.append(
            (method.replace(" ", _FIXED), *cells, f"{statistics.mean(called):.1f} %" if called else "-", *seconds)
        )
    header = (
        "method",
        f"simulated, {len(simulated)} scenarios",
        f"labelled by others, {len(wanted - simulated - csr - blinking)} folders",
        f"the same, re-blinking, {len(blinking)} folders",
        "in clusters in CSR",
        "1e5, one core",
        "1e6, one core",
    )
    return table(header, rows)


def labelled() -> str:
    """Adjusted Rand index on simulations that others labelled, by method and by how its setting was chosen."""
    found = rows_of("rivals/accuracy_by_group.csv")
    kinds = (
        ("molecules", "nieves2023/ground_truth"),
        ("re-blinking detections", "nieves2023/multiple_blinking"),
        ("DBOpt", "dbopt2025/"),
    )
    chosen = {"default": "default", "folder": "best for each folder, on the truth", "kind": "one for all, on the truth"}
    rows = []
    for method in dict.fromkeys(row["method"] for row in found):
        for choice, words in chosen.items():
            mine = [row for row in found if (row["method"], row["choice"]) == (method, choice)]
            cells = []
            for _, start in kinds:
                folders = {row["group"] for row in found if row["group"].startswith(start)}
                values = [float(row["ari"]) for row in mine if row["group"] in folders]
                cells.append(f"{statistics.mean(values):.3f}".lstrip("0") if len(values) == len(folders) else "-")
            if mine:
                rows.append((method.replace(" ", _FIXED), "none" if method.startswith("CAML") else words, *cells))
    return table(("method", "setting", *(what for what, _ in kinds)), rows)


def _by_choice(rows: Sequence[dict[str, str]], groups: set[str]) -> str:
    """Means over groups by way of choosing parameters: default / one for the kind / best for the group."""
    means = []
    for choice in ("default", "kind", "folder"):
        values = [float(row["ari"]) for row in rows if row["choice"] == choice and row["group"] in groups]
        means += [f"{statistics.mean(values):.2f}".lstrip("0")] if values else []
    return f"{_FIXED}/{_FIXED}".join(means) or "-"


def _seconds(row: dict[str, str] | None) -> str:
    done = row and row["status"] == "done" and row["seconds"]
    return f"{_short(float(row['seconds']))}{_FIXED}s" if row and done else f">{_FIXED}300{_FIXED}s"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def rows_of(name: str) -> list[dict[str, str]]:
    """Rows of a committed CSV."""
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
