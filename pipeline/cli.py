"""The command line: thin shells over the library's functions.

People's messages and progress go to stderr; `--json` prints one JSON object on stdout. Exit codes:
0 done, 1 failed, 2 bad usage or bad input.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..atlas import SIMULATION_GRID, load_atlas
from ..dbgen import Database, ParameterSpace, Plan, generate, verify
from ..dbgen.datacard import describe_database
from ..dbgen.generation import SHARD_SIZE
from ..query import build_index, search
from ..solver import (
    FisherKolmogorov,
    GrowthParameters,
    Status,
    Tissue,
    TumorMasks,
    simulate,
)
from ..solver.models import find_model, parse_settings
from . import demonstration
from .database_picture import draw_database
from .inversion import DEFAULT_MATCHES, INDEX_FOLDER, invert, open_index, rank_matches
from .labels import label_convention, outlines_from_labels
from .movie import write_movie
from .nifti import InputError, read_nifti, write_nifti
from .outputs import prepare_output
from .patient import load_patient
from .pictures import draw_on_atlas
from .printing import one_line, print_step, show, table
from .progress import console, progress_bar
from .registration import RegistrationError
from .result import Inversion, InversionStatus
from .transform import AtlasTransform

app = typer.Typer(
    name="glioquery",
    help="From an MRI and an outline of a glioma to a tumour-density map, by retrieval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DatabaseFolder = Annotated[Path, typer.Argument(metavar="DB", help="The database's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Labels = Annotated[
    str | None, typer.Option(help="Label convention of the segmentation: brats2021, brats2023.")
]
LabelList = Annotated[
    str | None, typer.Option(metavar="L,L,...", help="Labels, instead of a convention.")
]
Matches = Annotated[int | None, typer.Option("-k", help="Number of matches to list; default: 15.")]
Address = Annotated[
    str | None, typer.Option(metavar="RAY", help="Address of a Ray cluster; default: a local one.")
]
ModelName = Annotated[str, typer.Option("--model", help="Growth model: a name or module:Class.")]
ModelSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Setting of the model, a TOML value; repeats."),
]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; bad input ends with one line on stderr and exit code 2."""
    try:
        app(arguments, prog_name="glioquery")
    except (ValueError, FileNotFoundError, FileExistsError, ConnectionError) as error:
        console.print(f"[bold red]error:[/] {one_line(error)}")
        sys.exit(2)
    except (RegistrationError, RuntimeError, OSError) as error:
        console.print(f"[bold red]failed:[/] {one_line(error)}")
        sys.exit(1)


@app.command("atlas")
def atlas_command(
    picture: Annotated[Path | None, typer.Option(help="Draw the atlas as PNG.")] = None,
    as_json: Json = False,
) -> None:
    """What the atlas holds."""
    atlas = load_atlas()
    tissue = Tissue.from_atlas(atlas)
    x, y, z = tissue.box
    facts = {
        "name": "SRI24",
        "sha256": atlas.checksum,
        "t1_grid": str(atlas.t1_grid),
        "simulation_grid": str(atlas.grid),
        "tissue_ml": float(tissue.domain.sum() * atlas.grid.voxel_ml),
        "tissue_box_voxels": [[s.start, s.stop] for s in (x, y, z)],
    }
    if picture is not None:
        picture.write_bytes(draw_on_atlas(atlas))
        facts["picture"] = str(picture.absolute())
    show(facts, as_json)


@app.command("simulate")
def simulate_command(
    origin: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="X Y Z", help="Seed point in SRI24 world coordinates, mm (RAS)."),
    ],
    dw: Annotated[float, typer.Option(help="Diffusivity in white matter, mm^2/day.")],
    rho: Annotated[float, typer.Option(help="Proliferation rate, 1/day.")],
    days: Annotated[float, typer.Option(help="Time from the seed, days.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Density, .nii.gz.")],
    model: ModelName = FisherKolmogorov.name,
    settings: ModelSettings = None,
    picture: Annotated[Path | None, typer.Option(help="Draw iso-lines on the T1 as PNG.")] = None,
    movie: Annotated[Path | None, typer.Option(help="Draw the growth as animated GIF.")] = None,
    as_json: Json = False,
) -> None:
    """Grow one tumour in the atlas."""
    chosen = find_model(model, **parse_settings(settings or ()))
    prepare_output(output.absolute().parent)
    atlas = load_atlas()
    parameters = GrowthParameters(origin, dw, rho, days)
    run = simulate(Tissue.from_atlas(atlas), parameters, model=chosen)
    if run.status is Status.NOT_FINITE:
        raise RuntimeError(f"{run.parameters}: {run.status.value}")
    write_nifti(output, run.density.u, run.density.grid)
    ml = atlas.grid.voxel_ml
    facts = {
        "density": str(output.absolute()),
        "status": run.status.value,
        "days": run.parameters.days,
        "whole_ml": run.final.whole_voxels * ml,
        "core_ml": run.final.core_voxels * ml,
        "lambda_mm": run.parameters.lambda_mm,
        "rho_t": run.parameters.rho_t,
        "steps": run.n_steps,
    }
    if picture is not None:
        picture.write_bytes(draw_on_atlas(atlas, run.density))
        facts["picture"] = str(picture.absolute())
    if movie is not None:
        write_movie(movie, atlas, run.parameters, model=chosen)
        facts["movie"] = str(movie.absolute())
    show(facts, as_json)


@app.command("generate")
def generate_command(
    database: DatabaseFolder,
    n: Annotated[int, typer.Option("--n", help="Number of tumours.")],
    space: Annotated[Path | None, typer.Option(help="Parameter space, .toml.")] = None,
    sampler: Annotated[str | None, typer.Option(help="trajectory, uniform or sobol.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random draws.")] = 0,
    model: ModelName = FisherKolmogorov.name,
    settings: ModelSettings = None,
    store: Annotated[str, typer.Option(help="density or outlines.")] = "density",
    shard_size: Annotated[int, typer.Option(help="Tumours a file.")] = SHARD_SIZE,
    workers: Annotated[int | None, typer.Option(help="Cores; default: all.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Generate a database; the same command resumes, a larger N extends."""
    named = {} if sampler is None else {"sampler": sampler}
    chosen = ParameterSpace.from_toml(space, **named) if space else ParameterSpace.from_dict(named)
    growth = find_model(model, **parse_settings(settings or ()))
    with progress_bar("generate", "tumours") as progress:
        made = generate(
            database,
            n,
            plan=Plan(space=chosen, seed=seed, model=growth),
            store=store,
            shard_size=shard_size,
            n_workers=workers,
            address=address,
            progress=progress,
        )
    show({"database": str(made.path), "samples": len(made), "checksum": made.checksum}, as_json)


@app.command("describe")
def describe_command(
    database: DatabaseFolder,
    picture: Annotated[Path | None, typer.Option(help="Draw what it covers as PNG.")] = None,
    as_json: Json = False,
) -> None:
    """What a database holds: model, ranges, counts, sizes, time and space it took."""
    source = Database.open(database)
    facts = dataclasses.asdict(describe_database(source)) | {"path": str(source.path.absolute())}
    if picture is not None:
        picture.write_bytes(draw_database(source))
        facts["picture"] = str(picture.absolute())
    show(facts, as_json)


@app.command("verify")
def verify_command(database: DatabaseFolder, as_json: Json = False) -> None:
    """Check a database against its format; exit code 1 if it has faults."""
    with progress_bar("verify", "shards") as progress:
        faults = verify(database, progress=progress)
    show({"database": str(database), "faults": faults}, as_json)
    if faults:
        raise typer.Exit(1)


@app.command("index")
def index_command(database: DatabaseFolder, as_json: Json = False) -> None:
    """Build the index of a database, beside it."""
    source = Database.open(database)
    with progress_bar("index", "tumours") as progress:
        index = build_index(source, database / INDEX_FOLDER, progress=progress)
    show({"index": str(index.path), "samples": index.n_samples}, as_json)


@app.command("query")
def query_command(
    database: DatabaseFolder,
    core: Annotated[Path | None, typer.Option(help="Core outline, NIfTI.")] = None,
    whole: Annotated[Path | None, typer.Option(help="Whole outline, NIfTI.")] = None,
    seg: Annotated[Path | None, typer.Option(help="Segmentation, instead of outlines.")] = None,
    labels: Labels = None,
    core_labels: LabelList = None,
    whole_labels: LabelList = None,
    k: Matches = None,
    as_json: Json = False,
) -> None:
    """Find the stored tumours that overlap outlines in SRI24 world coordinates best."""
    source = Database.open(database)
    index = open_index(source)
    if seg is not None and core is None and whole is None:
        masks = _segmentation(seg, labels, core_labels, whole_labels)
    elif seg is None and core is not None and whole is not None:
        masks = _outlines(core, whole)
    else:
        raise InputError("give either --seg with --labels, or both --core and --whole")
    masks = AtlasTransform.identity().masks_to_atlas(masks, SIMULATION_GRID)
    if not masks.whole.any():
        raise InputError("no voxel of the outlines lies in SRI24's part of the world")
    rows = [
        m.row()
        for m in rank_matches(
            source, search(index, masks, k=k or min(DEFAULT_MATCHES, index.n_samples))
        )
    ]
    if as_json:
        show({"matches": rows}, as_json)
    else:
        console.print(table(rows))


@app.command("invert")
def invert_command(
    database: DatabaseFolder,
    seg: Annotated[Path, typer.Option(help="Segmentation on the T1's grid.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")],
    t1: Annotated[Path | None, typer.Option(help="T1, skull-stripped.")] = None,
    t1c: Annotated[Path | None, typer.Option(help="T1 with contrast, skull-stripped.")] = None,
    flair: Annotated[Path | None, typer.Option(help="FLAIR, for the pictures.")] = None,
    labels: Labels = None,
    core_labels: LabelList = None,
    whole_labels: LabelList = None,
    k: Matches = None,
    resolution: Annotated[float, typer.Option(help="Of the registration, mm.")] = 2.0,
    seed: Annotated[int, typer.Option(help="Of the registration.")] = 1,
    title: Annotated[str, typer.Option(help="Heading of the report.")] = "Patient",
    as_json: Json = False,
) -> None:
    """Invert one patient, end to end."""
    source = Database.open(database)
    open_index(source)
    prepare_output(output)
    patient = load_patient(
        t1=t1,
        t1c=t1c,
        flair=flair,
        seg=seg,
        labels=labels,
        core_labels=_numbers(core_labels),
        whole_labels=_numbers(whole_labels),
    )
    for notice in patient.notices:
        console.print(f"[yellow]notice:[/] {notice}")
    inversion = invert(
        source, patient, output, k=k, resolution_mm=resolution, seed=seed, title=title,
        step=print_step,
    )  # fmt: skip
    _show_inversion(inversion, output, as_json)


@app.command("demo")
def demo_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder.")] = Path("demo-output"),
    n: Annotated[
        int, typer.Option("--n", help="Tumours in the database.")
    ] = demonstration.N_SAMPLES,
    seed: Annotated[int, typer.Option(help="Of the virtual patient.")] = 0,
    as_json: Json = False,
) -> None:
    """The whole story on a virtual patient with a known answer."""
    prepare_output(output)
    inversion, _, agreement = demonstration.demonstrate(
        output, n_samples=n, seed=seed, step=print_step
    )
    _show_inversion(
        inversion, output / "result", as_json, against_truth=dataclasses.asdict(agreement)
    )


def _show_inversion(inversion: Inversion, output: Path, as_json: bool, **more: Any) -> None:
    if inversion.status is not InversionStatus.PLAUSIBLE:
        console.print(f"[bold red]{inversion.status.value.upper()}[/]: see the report")
    best = inversion.matches[0]
    facts = {
        "status": inversion.status.value,
        "best": best.row(),
        "timings_s": inversion.timings_s,
        "seconds": sum(inversion.timings_s.values()),
        **more,
        "density": str((output / "density_patient.nii.gz").absolute()),
        "report": str((output / "report.html").absolute()),
    }
    show(facts, as_json)


def _segmentation(
    seg: Path, labels: str | None, core_labels: str | None, whole_labels: str | None
) -> TumorMasks:
    convention = label_convention(
        labels, core_labels=_numbers(core_labels), whole_labels=_numbers(whole_labels)
    )
    file = read_nifti(seg, "segmentation")
    return outlines_from_labels(file.values, file.grid, convention, name=f"segmentation {seg}")


def _outlines(core: Path, whole: Path) -> TumorMasks:
    files = {
        name: read_nifti(path, f"{name} outline")
        for name, path in (("core", core), ("whole", whole))
    }
    for name, file in files.items():
        if not np.isin(file.values, (0, 1)).all():
            raise InputError(
                f"an outline holds 0 and 1 alone, the {name} outline has other values: "
                "give a segmentation with --seg and --labels"
            )
    if files["core"].grid != files["whole"].grid:
        raise InputError(
            f"core and whole outline lie on one grid, got {files['core'].grid} and "
            f"{files['whole'].grid}"
        )
    masks = {name: file.values.astype(bool) for name, file in files.items()}
    if not masks["whole"].any():
        raise InputError(f"the whole outline {whole} is empty")
    if (masks["core"] & ~masks["whole"]).any():
        n = int((masks["core"] & ~masks["whole"]).sum())
        console.print(f"[yellow]notice:[/] {n} voxels of the core lie outside the whole outline")
    return TumorMasks(masks["core"], masks["whole"], files["whole"].grid)


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"labels are whole numbers with commas, as in 1,2,4; got {text!r}"
        ) from None


if __name__ == "__main__":
    main()
