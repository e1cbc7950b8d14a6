"""Make the README's pictures from a virtual patient: `make pictures`."""

from pathlib import Path

from glioquery.atlas import load_atlas
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.pictures.atlas_pictures import draw_on_atlas, draw_registration
from glioquery.pipeline.pictures.patient_pictures import draw_density
from glioquery.pipeline.virtual.demonstration import demonstrate

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
DEMO = ROOT / "demo-output"


def main() -> None:
    """Run the demo and draw what it found."""
    inversion, truth, _ = demonstrate(DEMO)
    files = {name: DEMO / "patient" / f"{name}.nii.gz" for name in ("t1", "seg")}
    patient = load_patient(**files, labels="brats2021")
    atlas = load_atlas()
    pictures = {
        "virtual_patient": draw_density(patient, inversion.density),
        "virtual_patient_truth": draw_density(patient, truth.density),
        "registration": draw_registration(patient, inversion.transform),
        "match_on_atlas": draw_on_atlas(atlas, inversion.density_atlas),
    }
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        (IMAGES / f"{name}.png").write_bytes(png)


if __name__ == "__main__":
    main()
