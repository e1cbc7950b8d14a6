"""Measurements of the registration on real cases.

`python tests/benchmark/registration.py kinds CASES`: which registration is worth its time: rigid,
affine and SyN, at each of the resolutions, with the seconds, the brain Dice, the agreement of
tissue edges and the least Jacobian.

`python tests/benchmark/registration.py turned CASES`: what is left of a turn and a shift of the
headers. Each case is loaded and registered as it is and with its images' affines turned about the
middle of the image and shifted. Told are the distances on the atlas, over the surface of the whole
outline, between where a voxel comes from the turned files and from those as they are.

`python tests/benchmark/registration.py wrong CASES --picture roc.png`: which figure tells a wrong
registration. Good registrations of all cases are compared with the same ones turned, shifted,
mirrored, and with those of other patients ("applied"), and with deformations from an affine part
that was turned, shifted or mirrored ("started", where the deformation makes up for it or not).

CASES holds folders of BraTS cases (`<case>/<case>_t1.nii.gz`, `_seg.nii.gz`) and, if it is there,
the native one, `TCGA-FG-6692`. `--cases 2` takes the first two alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from glioquery.atlas import Atlas, load_atlas
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.patient.patient import Patient, load_patient
from glioquery.pipeline.pictures.drawing import new_figure, png_of
from glioquery.pipeline.registration import registration
from glioquery.pipeline.registration.quality import assess_registration
from glioquery.pipeline.registration.registration import register

KINDS = ("rigid", "affine", "syn")

TURNS = (
    ((20, 0, 0), (0, 0, 0)),
    ((-8, 5, -12), (30, -40, 20)),
    ((-25, 28, -20), (-40, 50, 60)),
    ((30, 0, 0), (0, 60, 0)),
    ((0, -30, 0), (0, 0, -60)),
    ((0, 0, 30), (60, 0, 0)),
)
"""Degrees about x, y, z, and mm."""

ERRORS = {
    "turned 20": ((20, 0, 0), (0, 0, 0)),
    "turned 10": ((0, 10, 0), (0, 0, 0)),
    "turned 5": ((0, 0, 5), (0, 0, 0)),
    "shifted 10": ((0, 0, 0), (0, 10, 0)),
    "shifted 5": ((0, 0, 0), (5, 0, 0)),
}

REPAIRED_MM = 1.5
"""Median distance from the good one below which a deformation has made up for its start."""

Motion = NDArray[np.float64]


def main() -> None:
    """Register, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kinds", "turned", "wrong"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, help="how many; default: all")
    parser.add_argument("--resolutions", type=float, nargs="*", default=[2.0, 1.0])
    parser.add_argument("--picture", type=Path, help="of the ROC")
    arguments = parser.parse_args()
    cases = find_cases(arguments.folder)[: arguments.cases]
    if not cases:
        parser.error(f"{arguments.folder} holds no case: BraTS*/*_t1.nii.gz, with *_seg.nii.gz")
    if arguments.what == "kinds":
        compare_kinds(cases, arguments.resolutions)
    elif arguments.what == "turned":
        turn_headers(cases)
    else:
        tell_wrong_ones(cases, arguments.picture)


def find_cases(folder: Path) -> list[dict[str, Path]]:
    """Files by role of each case, as `load_patient` takes them."""
    cases = [
        {"t1": t1, "seg": t1.with_name(t1.name.replace("_t1.", "_seg."))}
        for t1 in sorted(folder.glob("BraTS*/*_t1.nii.gz"))
    ]
    native = folder / "TCGA-FG-6692"
    if native.is_dir():
        own = native / "sri24_space"
        reference, seg = own / "brats_space_t1.nii.gz", own / "seg_fusion_mav.nii.gz"
        cases.append({"t1": native / "t1.nii.gz", "seg": seg, "seg_reference": reference})
    return cases


def named(case: dict[str, Path]) -> str:
    """A case's name."""
    return case["t1"].parent.name


def motion(angles: tuple[float, ...], shift: tuple[float, ...], centre: NDArray) -> Motion:
    """A turn about a centre, and a shift."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, 3] = centre - affine[:3, :3] @ centre + shift
    return affine


def compare_kinds(cases: list[dict[str, Path]], resolutions: list[float]) -> None:
    """Rigid, affine and SyN beside each other."""
    atlas = load_atlas()
    patients = [load_patient(**case, labels="brats2021") for case in cases]
    for resolution, kind in itertools.product(resolutions, KINDS):
        rows = []
        for patient in patients:
            began = time.perf_counter()
            transform = register(patient, atlas, kind=kind, resolution_mm=resolution)
            seconds = time.perf_counter() - began
            q = assess_registration(patient, transform, atlas=atlas)
            rows.append((seconds, q.brain_dice, q.edge_agreement, q.jacobian_min))
        seconds, dice, edges, jacobian = np.array(rows).T
        print(
            f"{kind:6} {resolution:g} mm: {np.median(seconds):6.1f} s, brain Dice "
            f"{', '.join(f'{d:.3f}' for d in dice)} (mean {dice.mean():.3f}), edges "
            f"{edges.mean():.2f}, least Jacobian {jacobian.min():.2f}",
            flush=True,
        )


def turn_headers(cases: list[dict[str, Path]]) -> None:
    """What a header's turn and shift leave in the map of a patient."""
    atlas = load_atlas()
    print("| case | turn (degrees) | shift (mm) | median (mm) | 95 % (mm) | brain Dice | edges |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        voxels = still = None
        for angles, shift in (((0, 0, 0), (0, 0, 0)), *TURNS):
            with tempfile.TemporaryDirectory() as name:
                files = turn_files(case, angles, shift, Path(name))
                patient = load_patient(**files, labels="brats2021")
            transform = register(patient, atlas)
            quality = assess_registration(patient, transform, atlas=atlas)
            voxels = surface_of(patient) if still is None else voxels
            there = transform.atlas_from_patient(patient.grid.to_world(voxels))
            still = there if still is None else still
            apart = np.linalg.norm(there - still, axis=1)
            print(
                f"| {named(case)} | {', '.join(map(str, angles))} | {', '.join(map(str, shift))} "
                f"| {np.median(apart):.2f} | {np.percentile(apart, 95):.2f} "
                f"| {quality.brain_dice:.4f} | {quality.edge_agreement:.2f} |",
                flush=True,
            )


def turn_files(
    case: dict[str, Path], angles: tuple[float, ...], shift: tuple[float, ...], folder: Path
) -> dict[str, Path]:
    """Copies of a case's images in a turned world; a reference in a world of its own stays."""
    grid = nib.load(case["t1"])
    middle = (grid.affine @ [*((np.array(grid.shape) - 1) / 2), 1])[:3]
    by = motion(angles, shift, middle)
    files = dict(case)
    for role in ("t1",) if "seg_reference" in case else ("t1", "seg"):
        image = nib.load(case[role])
        turned = nib.Nifti1Image(np.asarray(image.dataobj), by @ image.affine)
        files[role] = folder / f"{role}.nii.gz"
        nib.save(turned, files[role])
    return files


def surface_of(patient: Patient) -> NDArray:
    """Voxels (n, 3) of the surface of the whole outline."""
    whole = patient.masks.whole
    return np.argwhere(whole & ~ndimage.binary_erosion(whole))


@dataclasses.dataclass(frozen=True)
class Trial:
    """One registration and what its figures say."""

    case: str
    what: str
    off_mm: float
    figures: dict[str, float]


def tell_wrong_ones(cases: list[dict[str, Path]], picture: Path | None) -> None:
    """Good and wrong registrations, and which figure separates them."""
    atlas = load_atlas()
    patients = {named(case): load_patient(**case, labels="brats2021") for case in cases}
    good = {name: register(patient, atlas) for name, patient in patients.items()}
    trials = []
    for name, patient in patients.items():
        for what, transform in _attempts(name, patient, good, atlas):
            quality = assess_registration(patient, transform, atlas=atlas)
            brain = atlas.grid.to_world(np.argwhere(atlas.brain)[::100])
            ends = (m.patient_from_atlas(brain) for m in (transform, good[name]))
            figures = {
                "brain Dice": quality.brain_dice,
                "edge agreement": quality.edge_agreement,
                "edge advantage": quality.edge_advantage,
                "turn of the deformation": -quality.warp_turn_deg,
                "found": -float(len(quality.misplaced)),
            }
            off_mm = float(np.median(np.linalg.norm(np.subtract(*ends), axis=1)))
            trials.append(Trial(name, what, off_mm, figures))
            print(
                f"{name} {what}: off by {off_mm:.1f} mm, "
                + ", ".join(f"{figure} {value:.3f}" for figure, value in figures.items()),
                flush=True,
            )
    _tabulate(trials)
    if picture is not None:
        _draw_roc(trials, picture)


def _attempts(
    name: str, patient: Patient, good: dict[str, AtlasTransform], atlas: Atlas
) -> Iterator[tuple[str, AtlasTransform]]:
    own = good[name]
    centre = patient.grid.to_world(np.argwhere(patient.brain)).mean(axis=0)
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = 2 * atlas.grid.to_world(np.argwhere(atlas.brain)).mean(axis=0)[0]
    yield "good", own
    for error, (angles, shift) in ERRORS.items():
        wrong = motion(angles, shift, centre)
        yield f"applied, {error}", dataclasses.replace(own, affine=wrong @ own.affine)
        yield f"started, {error}", _started(patient, atlas, lambda a, by=wrong: by @ a)
    yield "started, mirrored", _started(patient, atlas, lambda a: a @ mirror)
    for other, transform in good.items():
        if other != name and other.startswith("BraTS") and name.startswith("BraTS"):
            yield "applied, other patient's", transform


def _started(patient: Patient, atlas: Atlas, spoil: Callable[[Motion], Motion]) -> AtlasTransform:
    """A deformation from a wrong affine part."""
    align = registration.align_linearly
    try:
        registration.align_linearly = lambda *a, **k: spoil(align(*a, **k))
        return register(patient, atlas)
    finally:
        registration.align_linearly = align


def _tabulate(trials: list[Trial]) -> None:
    figures = list(trials[0].figures)[:-1]
    print("\n| registration | off by (mm) |", " | ".join(figures), "| found |")
    print("|---|---|" + "---|" * (len(figures) + 1))
    for what in dict.fromkeys(trial.what for trial in trials):
        chosen = [trial for trial in trials if trial.what == what]
        values = [[trial.figures[figure] for trial in chosen] for figure in figures]
        found = sum(trial.figures["found"] < 0 for trial in chosen)
        off = [trial.off_mm for trial in chosen]
        print(
            f"| {what} | {np.median(off):.1f} |",
            " | ".join(f"{min(v):.2f} to {max(v):.2f}" for v in values),
            f"| {found} of {len(chosen)} |",
        )
    for figure in trials[0].figures:
        good, wrong = _sides(trials, figure)
        print(f"area under the ROC, {figure}: {_area(good, wrong):.3f}")


def _sides(trials: list[Trial], figure: str) -> tuple[NDArray, NDArray]:
    """The figure of good registrations, and of wrong ones.

    Those that the deformation has made up for are neither, and mirrored ones are for the table:
    the atlas is so nearly its own mirror image that nothing in the image reveals them.
    """
    good = [t.figures[figure] for t in trials if t.what == "good"]
    wrong = [
        t.figures[figure] for t in trials if t.off_mm > REPAIRED_MM and "mirrored" not in t.what
    ]
    return np.array(good), np.array(wrong)


def _area(good: NDArray, wrong: NDArray) -> float:
    """Share of pairs in which the good one is higher; halves for ties."""
    apart = good[:, None] - wrong
    return float(np.mean((apart > 0) + 0.5 * (apart == 0)))


def _draw_roc(trials: list[Trial], path: Path) -> None:
    figure = new_figure(5, 5)
    axes = figure.subplots()
    for name in trials[0].figures:
        label = "all limits together" if name == "found" else name
        good, wrong = _sides(trials, name)
        limits = np.sort(np.concatenate([[-np.inf], good, wrong, [np.inf]]))
        axes.step(
            [np.mean(good < limit) for limit in limits],
            [np.mean(wrong < limit) for limit in limits],
            where="post",
            label=f"{label} ({_area(good, wrong):.2f})",
        )
    axes.set_xlabel("share of good registrations that are called wrong")
    axes.set_ylabel("share of wrong registrations that are found")
    axes.legend(title="area under the curve", loc="lower right")
    path.write_bytes(png_of(figure))


if __name__ == "__main__":
    main()
