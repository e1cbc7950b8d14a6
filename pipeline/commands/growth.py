"""Commands about the atlas, its tensors and single growths: atlas, tensor-atlas, simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from ...errors import FailedError, InputError
from ...solver.models.registry import DEFAULT
from ..arguments.options import Json, ModelName, ModelSettings
from ..arguments.picture_files import places_for, require_gif, require_png, save_picture
from ..scans.treatment_file import read_treatments
from ..terminal.printing import print_notice, show


def atlas_command(
    context: typer.Context,
    picture: Annotated[
        Path | None, typer.Option(help="File for a picture of the atlas, PNG.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the atlas holds."""
    if picture is not None:
        require_png(picture)
    context.with_resource(places_for(picture))

    from ...atlas import load_atlas
    from ...solver import Tissue

    atlas = load_atlas()
    tissue = Tissue.from_atlas(atlas)
    x, y, z = tissue.box
    facts = {
        "name": atlas.name,
        "sha256": atlas.checksum,
        "t1_grid": str(atlas.t1_grid),
        "simulation_grid": str(atlas.grid),
        "tissue_ml": float(tissue.domain.sum() * atlas.grid.voxel_ml),
        "tissue_box_voxels": [[s.start, s.stop] for s in (x, y, z)],
    }
    if picture is not None:
        from ..pictures.atlas_pictures import draw_on_atlas

        save_picture(picture, lambda: draw_on_atlas(atlas), facts)
    show(facts, as_json)


def tensor_atlas_command(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Diffusion tensors in the atlas's world, NIfTI.")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="File for the tensors of the atlas, .nii.gz.")
    ],
    tool: Annotated[
        Literal["fsl", "mrtrix", "dipy"],
        typer.Option(
            help="Program that wrote the tensors: dtifit of fsl, dwi2tensor of mrtrix, or dipy, "
            "whose lower triangles nibabel saves."
        ),
    ],
    affine: Annotated[
        Path | None,
        typer.Option(
            help="Text file of the 4 x 4 affine from the RAS world of IN to the atlas's in mm, "
            "which turns the tensors, too; default: the two are one world."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert diffusion tensors for the model fisher-kolmogorov-tensor."""
    _require_nifti_name(output, "tensors are")
    matrix = None if affine is None else _read_affine(affine)
    if not source.is_file():
        raise InputError(f"tensor {source}: there is no such file")
    context.with_resource(places_for(output, inputs=(source, affine)))

    from ...atlas import load_atlas
    from ...solver import Tissue
    from ...solver.models import convert_tensor
    from ..images.nifti import save_nifti

    field = convert_tensor(source, Tissue.from_atlas(load_atlas()), tool=tool, affine=matrix)
    save_nifti(field.image, output)
    show(
        {"tensor": str(output.absolute()), "grid": str(field.grid), "sha256": field.sha256},
        as_json,
    )


def _require_nifti_name(path: Path, what: str) -> None:
    """Refuse a file for an image whose name does not say that it is NIfTI."""
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{what} written as .nii.gz or .nii, got {path.name}")


def _read_affine(path: Path) -> np.ndarray:
    """The 4 x 4 matrix of a text file."""
    try:
        matrix = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"affine {path}: expected four rows of four numbers ({error})") from None
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(
            f"affine {path}: expected four rows of four finite numbers, got "
            f"{' x '.join(map(str, matrix.shape))}"
        )
    return matrix


def simulate_command(
    context: typer.Context,
    origin: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="X Y Z", help="Origin in SRI24 world coordinates (RAS), mm."),
    ],
    dw: Annotated[float, typer.Option(help="Diffusivity in white matter in mm^2/day.")],
    rho: Annotated[float, typer.Option(help="Proliferation rate in 1/day.")],
    days: Annotated[float, typer.Option(help="Time from the first cells to the scan in days.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File for the density, .nii.gz.")],
    model: ModelName = DEFAULT,
    settings: ModelSettings = None,
    treatments: Annotated[
        Path | None,
        typer.Option(
            help="TOML file that lists treatments on days since the seed, with maps in SRI24 "
            "world coordinates; default: none."
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="File for a picture of the isolines on the T1, PNG.")
    ] = None,
    movie: Annotated[Path | None, typer.Option(help="File for a movie of the growth, GIF.")] = None,
    as_json: Json = False,
) -> None:
    """Grow one tumour in the atlas."""
    from ...solver import GrowthParameters
    from ...solver.models import find_model, parse_settings

    parameters = GrowthParameters(origin, dw, rho, days)
    given = parse_settings(settings or ())
    _require_nifti_name(output, "a density is")
    if movie is not None:
        require_gif(movie)
    if picture is not None:
        require_png(picture)
    listed = () if treatments is None else read_treatments(treatments)
    if listed and listed[-1].day > days:
        raise InputError(
            f"treatments {treatments}: the {listed[-1].kind} of day {listed[-1].day:g} is after "
            f"the end of the growth, on day {days:g}"
        )
    files = [Path(value) for value in given.values() if isinstance(value, str)]  # of the model
    inputs = (treatments, *(one.map for one in listed), *files)
    context.with_resource(places_for(output, picture, movie, inputs=inputs))
    chosen = find_model(model, **given)

    from ...atlas import load_atlas
    from ...solver import Status, Tissue, simulate
    from ...solver.compilation import prepare_jax
    from ..images.nifti import write_nifti
    from ..images.resampling import resample_image
    from ..scans.placed_treatments import read_map

    prepare_jax()
    atlas = load_atlas()
    tissue = Tissue.from_atlas(atlas)
    placed = [read_map(one).in_atlas() for one in listed]
    for notice in (notice for one in placed for notice in one.notices):
        print_notice(notice)
    given_then = [
        one.after(0.0, lambda scan: resample_image(scan, atlas.grid).values, tissue.domain)
        for one in placed
    ]
    run = simulate(tissue, parameters, model=chosen, treatments=given_then)
    if run.status is Status.NOT_FINITE:
        raise FailedError(f"{run.parameters}: {run.status.value}")
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
    if run.displacement is not None:
        facts["displacement_mm"] = run.displacement.max_mm
        facts["least_jacobian"] = run.displacement.least_jacobian
    if picture is not None:
        from ..pictures.atlas_pictures import draw_on_atlas

        save_picture(picture, lambda: draw_on_atlas(atlas, run.density), facts)
    if movie is not None:
        from ..pictures.movie import draw_movie

        save_picture(
            movie,
            lambda: draw_movie(atlas, run.parameters, model=chosen, treatments=given_then),
            facts,
            name="movie",
        )
    show(facts, as_json)
