"""Commands about query strategies: train, evaluate."""

from __future__ import annotations

import dataclasses
import functools
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from ...dbgen import Database
from ...dbgen.machine.cores import processor
from ...dbgen.machine.files import write_text
from ...dbgen.store.opening import open_database, require_model
from ...errors import InputError
from ...query import Index, search
from ...query.evaluation.comparison import (
    DEPTH,
    Contestant,
    QuerySet,
    Row,
    evaluate,
)
from ...query.evaluation.naive_timing import NaiveTiming, time_naive
from ...query.evaluation.summary import TOP, describe_queries, summarise, write_markdown
from ...query.evaluation.synthetic import draw_queries, plan_queries
from ...query.index.opening import open_outlines
from ...query.index.source import ABSOLUTE
from ...query.strategies import STRATEGIES, needs_preparation, prepare_strategy
from ...query.strategies.registry import (
    LEARNED,
    STATELESS,
    check_name,
    check_preparation,
    verify_strategy,
)
from ...query.strategies.store import discard, folder_of, read_manifest, remedy
from ...solver.compilation import prepare_jax
from ..arguments.opening import open_index
from ..arguments.options import (
    CoreLabels,
    CoreThreshold,
    DatabaseModel,
    Json,
    Labels,
    Normalise,
    OptionalDatabase,
    WholeLabels,
    WholeThreshold,
    numbers,
)
from ..arguments.picture_files import save_picture
from ..images.labels import label_convention
from ..results.csv_file import write_csv
from ..results.result_folder import only_run
from ..terminal.printing import print_notice, show, show_table
from ..terminal.progress import console, progress_bar

MOST_SEED = 2**32 - 2
"""JAX takes 32 bits of a seed, and the networks of the two outlines have two that follow."""


def train_command(
    database: OptionalDatabase = None,
    strategy: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help=f"Strategies to prepare: {', '.join(STRATEGIES)}, or all."
        ),
    ] = "all",
    preset: Annotated[
        str | None,
        typer.Option(
            help="Size of the networks: small (for two CPU cores; default) or paper (for a GPU)."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the training; default: 0.")
    ] = None,
    core_threshold: CoreThreshold = None,
    whole_threshold: WholeThreshold = None,
    normalise: Normalise = ABSOLUTE,
    as_json: Json = False,
) -> None:
    """Prepare strategies for a database: train encoders, compute features.

    Finished strategies are kept; the same command resumes.
    """
    if seed is not None and seed > MOST_SEED:
        raise InputError(f"seed: 0 to {MOST_SEED}, got {seed}")
    names = [name for name in _names(strategy) if name not in STATELESS]
    outlines = open_outlines(database, core_threshold, whole_threshold, normalise)
    index = open_index(
        outlines.database, thresholds=outlines.thresholds, normalisation=outlines.normalisation
    )
    prepare_jax()
    how: dict[str, Any] = {"preset": preset or "small", "seed": seed or 0}
    for name in names:  # before the first of them takes hours
        check_preparation(index, name, preset=how["preset"])
    asked = {key: value for key, value in (("preset", preset), ("seed", seed)) if value is not None}
    for name in [name for name in names if not _is_kept(index, name, asked)]:
        if needs_preparation(index, name):  # not with another name of the same files
            prepare_strategy(index, name, **how, bars=progress_bar)
    facts: dict[str, Any] = {}
    for name in names:
        manifest = read_manifest(index, name.removesuffix("-standardised"))
        facts[name] = {"samples": manifest["n_samples"]}
        if name in LEARNED:
            facts[name] |= {
                "preset": manifest["preset"],
                "losses": {o: curve["validation"][-1] for o, curve in manifest["losses"].items()},
                "seconds": manifest["seconds"],
            }
    show(facts, as_json)


def _is_kept(index: Index, name: str, asked: dict[str, Any]) -> bool:
    """Whether a strategy is finished, and its files are as they were written.

    Raises
    ------
    InputError
        If it was trained otherwise than a person asks.
    """
    if needs_preparation(index, name):
        return False
    try:
        verify_strategy(index, name)
    except InputError as error:
        print_notice(str(error))
        discard(index, name.removesuffix("-standardised"))
        return False
    if name in LEARNED:
        manifest = read_manifest(index, name)
        trained = {key: manifest[key] for key in asked}
        if trained != asked:
            said = ", ".join(f"{key} {value}" for key, value in trained.items())
            raise InputError(
                f"the strategy {name} is trained already, with {said}: remove "
                f"{folder_of(index, name)} to train it anew"
            )
    return True


def evaluate_command(
    *,
    context: typer.Context,
    database: OptionalDatabase = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")],
    synthetic: Annotated[
        int, typer.Option(metavar="N", help="Number of synthetic queries; 0 for none.")
    ] = 1000,
    cases: Annotated[
        Path | None, typer.Option(help="Folder with patients' outlines on the atlas.")
    ] = None,
    case_files: Annotated[
        str | None,
        typer.Option(
            metavar="GLOB", help="Pattern of their file names; default: those that `invert` writes."
        ),
    ] = None,
    labels: Labels = None,
    core_labels: CoreLabels = None,
    whole_labels: WholeLabels = None,
    strategies: Annotated[
        str, typer.Option(metavar="NAME,...", help="Strategies to compare.")
    ] = "all",
    rerank: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Also rank the first N of each strategy by their exact score; 0 for no reranking.",
        ),
    ] = 0,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the synthetic queries; default: the database's plus one."),
    ] = None,
    model: DatabaseModel = None,
    as_json: Json = False,
) -> None:
    """Compare search strategies, as in Tables 1 and 2 of the paper. The same command resumes."""
    names = list(dict.fromkeys(["direct", *_names(strategies)]))
    if synthetic < 0:
        raise InputError(f"--synthetic is 0 or more, got {synthetic}")
    if not synthetic and cases is None:
        raise InputError("expected queries, got none: give --synthetic N, --cases FOLDER, or both")
    if cases is None and (labels or core_labels or whole_labels or case_files):
        raise InputError("--labels and --case-files say what --cases holds: give its folder")
    if not synthetic and seed is not None:
        raise InputError("--seed is that of synthetic queries: leave it or --synthetic 0 out")
    convention = None
    if labels or core_labels or whole_labels:
        convention = label_convention(
            labels, core_labels=numbers(core_labels), whole_labels=numbers(whole_labels)
        )
    source = open_database(database)
    least = min(DEPTH, source.n_samples)
    if rerank and rerank < least:
        raise InputError(
            f"--rerank is {least} or more, the matches that are compared, got {rerank}"
        )
    prepare_jax()

    from ..cohort.evaluation_cases import PATTERN, WRITTEN_BY_INVERT, find_cases
    from ..registration.placement import TO_SRI24, require_overlap

    if synthetic:
        require_model(source, model)
        plan_queries(source, seed)
    context.with_resource(only_run(output))
    found = None
    if cases is not None:
        found = find_cases(
            cases,
            pattern=case_files or PATTERN,
            convention=convention or WRITTEN_BY_INVERT,
            atlas=source.atlas,
        )
        for notice in found.notices:
            print_notice(notice)
    index = open_index(source)
    drawn, sets = None, []
    if found is not None:
        for i, file in enumerate(found.files):
            masks = found.load(i)
            best = search(index, masks, k=1)
            require_overlap(best, masks, name=f"segmentation {file}", remedy=TO_SRI24)
        sets.append(QuerySet("real", found.names, found.load))
    _prepare(index, names)
    if synthetic:
        with progress_bar("draw queries", "tumours") as progress:
            drawn = draw_queries(
                source, synthetic, output / "synthetic", seed=seed, progress=progress
            )
        tumours = [f"tumour {i}" for i in range(synthetic)]
        sets.append(QuerySet("synthetic", tumours, drawn.outlines))
    ranked = [name for name in names if name != "naive"]
    contestants = [Contestant(name) for name in ranked]
    if rerank:
        rerank = min(rerank, index.n_samples)
        contestants += [Contestant(name, rerank) for name in ranked if name != "direct"]
    rows = evaluate(index, sets, contestants, output / "rows", bars=progress_bar)
    timings = time_naive(index, sets, bars=progress_bar) if "naive" in names else []
    provenance = _provenance(source, index, names, drawn)
    _write(output, rows, timings, provenance)
    summaries = [dataclasses.asdict(summary) for summary in summarise(rows, timings)]
    if as_json:
        show({"folder": str(output.absolute()), **provenance, "summary": summaries}, as_json)
    else:
        show_table([_short(summary) for summary in summaries], n_keys=2)
        console.print(f"written to {output.absolute()}", markup=False)


def _names(text: str) -> list[str]:
    """Strategies given as a,b or all."""
    names = list(STRATEGIES) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        check_name(name)
    return list(dict.fromkeys(names))


def _prepare(index: Index, names: list[str]) -> None:
    """Prepare strategies that need no training; refuse untrained ones before any work."""
    missing = [name for name in names if needs_preparation(index, name)]
    untrained = [name for name in missing if name in LEARNED]
    if untrained:
        raise InputError(
            f"{', '.join(untrained)}: not trained for this database: "
            f"{remedy(index, ','.join(untrained))}, or leave them out with --strategies"
        )
    for name in names:
        if name not in missing:
            verify_strategy(index, name)
    for name in missing:
        check_preparation(index, name)
    for name in missing:
        if needs_preparation(index, name):  # both kinds of radiomics share one table
            prepare_strategy(index, name, bars=progress_bar)


def _short(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary as a row of a table for people."""
    return {
        "queries": f"{summary['n']} {summary['queries']}",
        "strategy": summary["strategy"],
        **{f"top {n} (%)": round(summary[f"top{n}"], 1) for n in TOP},
        "a query (s)": f"{summary['seconds']:.3g}" + (" scaled" if summary["is_scaled"] else ""),
        "mean regret": round(summary["regret_mean"], 4),
        "worst regret": round(summary["regret_worst"], 4),
    }


def _provenance(
    database: Database, index: Index, names: list[str], drawn: Database | None
) -> dict[str, str]:
    """What the figures depend on, in words."""
    import jax

    facts = {
        "database": f"{index.n_samples} tumours, checksum {index.database_checksum}",
        "hardware": processor(),
        "JAX on": jax.devices()[0].device_kind,
        "glioquery": version("glioquery"),
    }
    for name in names:
        if name in LEARNED:
            manifest = read_manifest(index, name)
            facts[name] = (
                f"preset {manifest['preset']}, seed {manifest['seed']}, "
                f"{manifest['settings']['epochs']} epochs of {manifest['n_trained_on']} tumours "
                f"on {manifest['device']}, "
                f"{sum(manifest['seconds'].values()):.0f} s"
            )
    if drawn is not None:
        facts["synthetic queries"] = (
            f"{drawn.n_samples} tumours of the database's space, seed {drawn.plan.seed} "
            f"(the database's is {database.plan.seed})"
        )
    return facts


def _write(
    output: Path, rows: list[Row], timings: list[NaiveTiming], provenance: dict[str, str]
) -> None:
    """Tables and pictures."""
    from ..pictures.evaluation_pictures import draw_dice, draw_strategies

    summaries, facts = summarise(rows, timings), describe_queries(rows)
    write_csv(output / "rows.csv", [dataclasses.asdict(row) for row in rows])
    write_csv(output / "summary.csv", [dataclasses.asdict(one) for one in summaries])
    page = write_markdown(summaries, facts, timings, provenance)
    write_text(output / "evaluation.md", page)
    for number, kind in ((2, "real"), (3, "synthetic")):
        first = next((row.strategy for row in rows if row.queries == kind), None)
        chosen = [row for row in rows if (row.queries, row.strategy) == (kind, first)]
        if chosen:
            title = (
                f"{len(chosen)} {kind} tumours and their best match (the paper's Figure {number})"
            )
            compared = [one for one in summaries if one.queries == kind]
            heading = f"Strategies on {len(chosen)} {kind} tumours"
            figure = functools.partial(draw_dice, chosen, title)
            save_picture(output / f"figure{number}_{kind}.png", figure, {})
            figure = functools.partial(draw_strategies, compared, heading)
            save_picture(output / f"strategies_{kind}.png", figure, {})
