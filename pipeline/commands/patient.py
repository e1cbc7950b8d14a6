"""Commands about one patient: invert, check, demo."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ...dbgen.store.opening import require_model
from ...errors import InputError
from ...solver.compilation import prepare_jax
from ..ahead import ahead
from ..arguments.dated_scans import read_scans
from ..arguments.opening import open_for
from ..arguments.options import (
    Anonymous,
    BrainOption,
    CoreLabels,
    CoreStructures,
    DatabaseModel,
    Json,
    KeepIslands,
    Labels,
    OptionalDatabase,
    WholeLabels,
    WholeStructures,
    names,
    numbers,
    with_inversion_options,
)
from ..dicom.dicom_path import require_extra, require_series_path
from ..dicom.named_structures import structure_names
from ..images.file_kinds import require_nifti
from ..inversion.options import InversionOptions
from ..names import DEFAULT_SUBJECT, checked_subject, map_name
from ..patient.brain_option import checked_way
from ..patient.named_files import (
    ROLES,
    follow_up_convention,
    require_files,
    seg_convention,
)
from ..results.dicom_places import remove_dicom, require_apart, require_dicom_places
from ..results.result_folder import (
    find_faults,
    find_results,
    only_run,
    require_inputs_kept,
    require_names,
)
from ..terminal.printing import print_notice, print_step, said, show
from ..terminal.progress import console

if TYPE_CHECKING:
    from ..inversion.result import Inversion


@with_inversion_options
def invert_command(
    *,
    context: typer.Context,
    database: OptionalDatabase = None,
    seg: Annotated[
        Path | None,
        typer.Option(
            help="Segmentation of the tumour: NIfTI, DICOM SEG or RTSTRUCT; "
            "needed unless --scan is given."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")],
    t1: Annotated[
        Path | None,
        typer.Option(
            help="T1 image, with skull or without: NIfTI, or the folder of a DICOM series "
            "(FOLDER#3: series number 3)."
        ),
    ] = None,
    t1c: Annotated[
        Path | None, typer.Option(help="T1 image with contrast, NIfTI or DICOM.")
    ] = None,
    flair: Annotated[
        Path | None, typer.Option(help="FLAIR image, NIfTI or DICOM; the pictures show it.")
    ] = None,
    brain_mask: Annotated[
        Path | None,
        typer.Option(help="Mask of the brain, NIfTI; default: find the brain if there is a skull."),
    ] = None,
    seg_reference: Annotated[
        Path | None, typer.Option(help="Image that was segmented, NIfTI or DICOM; default: the T1.")
    ] = None,
    seg_grid: Annotated[
        str,
        typer.Option(
            metavar="own|t1",
            help="Grid of the segmentation: its own, as its header says, or that of the T1.",
        ),
    ] = "own",
    labels: Labels = None,
    core_labels: CoreLabels = None,
    whole_labels: WholeLabels = None,
    core_structures: CoreStructures = None,
    whole_structures: WholeStructures = None,
    keep_islands: KeepIslands = False,
    brain: BrainOption = "auto",
    options: InversionOptions,
    tissue: Annotated[
        tuple[Path, Path, Path] | None,
        typer.Option(
            metavar="GM WM CSF",
            help="Maps of the patient's grey matter, white matter and fluid, NIfTI; "
            "default: as --tissue-from says.",
        ),
    ] = None,
    recurrence: Annotated[
        Path | None,
        typer.Option(help="Segmentation of a follow-up scan that is aligned with the T1."),
    ] = None,
    recurrence_labels: Annotated[
        str | None,
        typer.Option(help="Label convention of the recurrence; default: that of the segmentation."),
    ] = None,
    dicom: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT_DIR",
            help="Folder for DICOM files that refer to the series of the T1; default: none.",
        ),
    ] = None,
    anonymous: Anonymous = False,
    scan: Annotated[
        list[str] | None,
        typer.Option(
            metavar="T1,SEG,DAY",
            help="One of two scans or more, instead of --t1 and --seg; DAY is a number or a date "
            "such as 2024-03-01; repeat the option.",
        ),
    ] = None,
    forecast: Annotated[
        str | None,
        typer.Option(
            metavar="DAYS,...",
            help="Days after the last scan for which to forecast the density, as in 90,180.",
        ),
    ] = None,
    treatments: Annotated[
        Path | None,
        typer.Option(help="TOML file that lists treatments after the first scan; default: none."),
    ] = None,
    model: DatabaseModel = None,
    title: Annotated[str, typer.Option(help="Heading of the report.")] = "Patient",
    subject: Annotated[
        str, typer.Option(help="Label of the subject in the names of files.")
    ] = DEFAULT_SUBJECT,
    as_json: Json = False,
) -> None:
    """Invert one patient, from the scan to the map."""
    checked_subject(subject)
    brain_way = checked_way(brain)
    scans = read_scans(
        scan, {"--t1": t1, "--t1c": t1c, "--seg": seg}, forecast, treatments, seg_grid
    )
    if scans is not None:
        t1, seg = scans.first.t1, scans.first.seg
    if seg is None:
        raise InputError("a segmentation is needed: give --seg, or two scans with --scan")
    convention: dict[str, Any] = {
        "labels": labels,
        "core_labels": numbers(core_labels),
        "whole_labels": numbers(whole_labels),
    }
    structures: dict[str, Any] = {
        "core_structures": names(core_structures),
        "whole_structures": names(whole_structures),
    }
    meant = seg_convention(seg, **convention)
    follow_up_convention(recurrence_labels, meant, recurrence)
    files: dict[str, Any] = {
        "t1": t1,
        "t1c": t1c,
        "flair": flair,
        "seg": seg,
        "brain_mask": brain_mask,
        "seg_reference": seg_reference,
        "recurrence": recurrence,
    }
    modality = require_files(
        files, structures=structure_names(*structures.values()), seg_grid=seg_grid
    )
    read = [path for path in (*files.values(), *(tissue or ())) if path is not None]
    read += [] if scans is None else scans.files
    if anonymous and dicom is None:
        raise InputError("--anonymous is for DICOM files: name a folder for them with --dicom")
    if dicom is not None:
        _require_dicom(dicom, output, ROLES[modality], files[modality])
        require_dicom_places(dicom, read)
    if tissue is not None:
        if options.tissue_from != "auto":
            raise InputError("--tissue gives the maps themselves: leave --tissue-from out")
        options = dataclasses.replace(options, own_anatomy=True)
        for role, path in zip(("gm", "wm", "csf"), tissue, strict=True):
            require_nifti(path, f"tissue map {role} {path}")
    source, _ = open_for(options, database, model)
    context.with_resource(only_run(output))
    require_names(output)
    require_inputs_kept(output, read)
    if dicom is not None:
        context.with_resource(only_run(dicom))
    ahead(lambda: source.atlas.t1)  # while the files are read
    prepare_jax()

    from ...solver.treated_state import require_treatable
    from ..inversion.inputs import load_inputs
    from ..inversion.inversion import invert
    from ..report.viewer import load_viewer
    from ..results.outputs import write_inversion

    require_model(source, model)
    if scans is not None and scans.treatments:
        require_treatable(source.model, scans.treatments)
    inputs = load_inputs(
        tissue=tissue,
        scans=scans,
        notice=print_notice,
        step=print_step,
        **files,
        **convention,
        **structures,
        recurrence_labels=recurrence_labels,
        seg_grid=seg_grid,
        keep_islands=keep_islands,
        brain=brain_way,
    )
    load_viewer()  # while ANTs works
    inversion = invert(
        inputs.patient,
        source,
        options,
        tissue=inputs.tissue,
        follow_up=inputs.follow_up,
        step=print_step,
    )
    inversion = write_inversion(inversion, output, title=title, subject=subject, step=print_step)
    if dicom is not None:  # of an earlier result: beside the new one they would be false
        remove_dicom(dicom)
    for notice in inversion.notices[len(inputs.patient.notices) :]:
        print_notice(notice)
    written: dict[str, Path] = {}
    if dicom is not None:
        from ..results.dicom_outputs import write_dicom

        written = write_dicom(
            inversion, dicom, series=files[modality], anonymous=anonymous, step=print_step
        )
    more = {"dicom": {kind: str(path) for kind, path in written.items()}} if written else {}
    _show_inversion(inversion, output, subject, as_json, **more)


def demo_command(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")] = Path(
        "demo-output"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Number of the virtual patient, 0 or more.")] = 1,
    as_json: Json = False,
) -> None:
    """Make a virtual patient with a known answer and invert it."""
    context.with_resource(only_run(output))
    from ..virtual.demonstration import SUMMARY_FILE, demonstrate

    require_names(output, files=[SUMMARY_FILE], folders=["patient", "result"])
    require_names(output / "result")
    prepare_jax()

    inversion, _, agreement = demonstrate(output, seed=seed, step=print_step)
    _show_inversion(
        inversion,
        output / "result",
        DEFAULT_SUBJECT,
        as_json,
        against_truth=dataclasses.asdict(agreement),
    )


def _require_dicom(dicom: Path, output: Path, role: str, series: Path) -> None:
    """See that DICOM files can be written, apart from the result."""
    require_apart(dicom, [output], f"--dicom {dicom}")
    require_series_path(series, f"{role} {series}")
    require_extra()

    from ..dicom_export.study import read_study

    read_study(series, f"{role} {series}")


def _show_inversion(
    inversion: Inversion, output: Path, subject: str, as_json: bool, **more: Any
) -> None:
    from ..inversion.result import InversionStatus

    if inversion.status is not InversionStatus.PLAUSIBLE:
        console.print(f"[bold red]{inversion.status.value.upper()}[/]: see the report")
    best = inversion.matches[0]
    facts = {
        "status": inversion.status.value,
        "best": best.row(),
        "answer": inversion.answer.row(),
        **_growth_in_days(inversion, as_json),
        "timings_s": inversion.timings_s,
        "seconds": sum(inversion.timings_s.values()),
        **more,
        "density": str((output / map_name(subject, "T1w", "density")).absolute()),
        "report": str((output / "report.html").absolute()),
    }
    show(facts, as_json)


def _growth_in_days(inversion: Inversion, as_json: bool) -> dict[str, Any]:
    """What several scans tell: rates and forecast."""
    if inversion.outlook is None:
        return {}
    row = inversion.outlook.row()
    if as_json:
        return {"rates": row["rates"], "forecast": row["forecast"]}

    def told(rate: dict[str, Any]) -> str:
        value, low, high = (said(rate[name]) for name in ("value", "low", "high"))
        return f"{value} {rate['unit']} ({low} to {high})"

    rates = {name: told(rate) for name, rate in row["rates"].items()}
    days = {f"day {said(day['day'])}": told(day["whole_ml"]) for day in row["forecast"]}
    return {"growth in real days": rates} | ({"forecast": days} if days else {})


def check_command(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of a result, or of a cohort's results.")
    ],
    as_json: Json = False,
) -> None:
    """Check that the files of a result belong together; exit code 1 if they do not."""
    found = find_results(folder)
    faults = []
    for place in found:
        inside = "" if place == folder else f"{place.relative_to(folder).as_posix()}/"
        faults += [f"{inside}{fault}" for fault in find_faults(place)]
    if as_json:
        show({"folder": str(folder.absolute()), "results": len(found), "faults": faults}, as_json)
    else:
        for fault in faults:
            console.print(f"[bold red]fault:[/] {escape(fault)}")
        if not faults:
            n = f"{len(found)} results" if len(found) > 1 else "one result"
            console.print(f"{n}: all files are those that were written together")
    if faults:
        raise typer.Exit(1)
