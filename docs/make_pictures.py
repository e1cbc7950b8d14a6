"""Make the README's pictures from a virtual patient: `make pictures`."""

from pathlib import Path

from glioquery.atlas import load_atlas
from glioquery.pipeline.images.labels import label_convention
from glioquery.pipeline.inversion.inversion import invert
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.pictures.atlas_pictures import draw_on_atlas, draw_registration
from glioquery.pipeline.pictures.patient_pictures import draw_days, draw_density
from glioquery.pipeline.scans.later_scans import load_follow_up
from glioquery.pipeline.virtual.demonstration import demonstrate
from glioquery.pipeline.virtual.followed_patient import make_followed_patient

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
DEMO = ROOT / "demo-output"

FOLLOWED = (202_618, 0)
"""Seed and number of the patient with two scans: one of the benchmark's."""


def main() -> None:
    """Run the demo and draw what it found."""
    inversion, truth, _ = demonstrate(DEMO)
    files = {name: DEMO / "patient" / f"{name}.nii.gz" for name in ("t1", "seg")}
    patient = load_patient(**files, labels="brats2021")
    atlas = load_atlas()
    pictures = {
        "virtual_patient": draw_density(patient, inversion.density),
        "virtual_patient_truth": draw_density(patient, truth.density, what="truth"),
        "registration": draw_registration(patient, inversion.transform),
        "growth_on_atlas": draw_on_atlas(atlas, inversion.density_atlas),
    }
    pictures["two_scans"] = draw_two_scans(DEMO / "followed")
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        (IMAGES / f"{name}.png").write_bytes(png)


def draw_two_scans(folder: Path) -> bytes:
    """Invert a virtual patient with two scans, and draw the forecast beside the truth."""
    truth = make_followed_patient(*FOLLOWED)
    first, second = truth.write(folder)
    patient = load_patient(t1=first.t1, seg=first.seg, labels="brats2021")
    follow_up = load_follow_up(
        patient,
        first.day,
        [second],
        convention=label_convention("brats2021"),
        forecast=[truth.ahead_days],
    )
    inversion = invert(patient, follow_up=follow_up)
    assert inversion.outlook is not None
    (forecast,) = inversion.outlook.maps
    day = truth.apart_days + truth.ahead_days
    days = [
        ("day 0, truth", truth.scans[0].density),
        (f"day {day:.0f}, forecast", forecast),
        (f"day {day:.0f}, truth", truth.later),
    ]
    return draw_days(patient, days)


if __name__ == "__main__":
    main()
