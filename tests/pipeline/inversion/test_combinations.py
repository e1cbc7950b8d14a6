"""`invert` on the pairs of things that users bring together: each works, or is refused at once."""

import csv
import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from generating import SMALL, make_indexed
from pairs import cover_pairs

from glioquery.atlas import ATLAS_VARIABLE, SIMULATION_GRID, Grid
from glioquery.dbgen import Database, Plan, Range, merge
from glioquery.dbgen.store.embedded import embedded_database
from glioquery.errors import InputError
from glioquery.pipeline.anatomy.patient_tissue import TissueSource
from glioquery.pipeline.anatomy.tissue_maps import TissueMaps
from glioquery.pipeline.fit.answer import AnswerSource
from glioquery.pipeline.images.nifti import Scan, write_nifti
from glioquery.pipeline.inversion.inversion import invert
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.results.outputs import write_inversion
from glioquery.pipeline.results.result_folder import find_faults
from glioquery.query import build_index, dice_of_masks, outlines_of
from glioquery.solver import FisherKolmogorov, Thresholds, TumorMasks
from glioquery.solver.models import FisherKolmogorovTensor, ProliferativeNecrotic, TensorField

LESION_MM, SPECK_MM = (-85.0, 125.0, 85.0), (-150.0, 125.0, 85.0)
CENTRES_MM = {"one": [LESION_MM], "none": [LESION_MM], "several": [LESION_MM, (-85.0, 165.0, 85.0)]}
"""Of the outlined balls, on the atlas."""


@dataclass(frozen=True)
class Own(FisherKolmogorov):
    """A class that a user wrote."""

    name: ClassVar[str] = "combined"


OWN, MERGED, MIRRORED = "own", "merged", "another atlas"

FACTORS = {
    "database": [
        OWN, "embedded", MERGED, "outlines", "other thresholds", "several fields", "tensor",
        "a class of the user's", MIRRORED,
    ],
    "growth": ["match", "refined", "thresholds fitted", "own anatomy", "tissue maps"],
    "core": ["one", "none", "several"],
    "voxels": ["of the T1", "of its own"],
    "islands": ["left out", "kept"],
    "follow-up": ["none", "recurrence"],
    "image": ["t1", "t1c"],
    "tissue from": ["auto", "atlas"],
}  # fmt: skip

REFUSED = [
    (("database", "tensor"), ("growth", growth)) for growth in ("own anatomy", "tissue maps")
]
"""Tensors lie on the atlas: in the patient's own anatomy there are none."""

OPTIONS = {
    "match": InversionOptions(refine=False),
    "refined": InversionOptions(),
    "thresholds fitted": InversionOptions(fit_thresholds=True),
    "own anatomy": InversionOptions(own_anatomy=True),
    "tissue maps": InversionOptions(),
}


def is_quick(row):
    """Whether a row takes a second: others refine, compile, search more or read another atlas."""
    slow = ("tensor", "several fields", "embedded", MIRRORED)
    return row["growth"] == "match" and row["database"] not in slow


ROWS = [
    pytest.param(row, id=", ".join(row.values()), marks=() if is_quick(row) else pytest.mark.slow)
    for row in cover_pairs(FACTORS, REFUSED)
]


@pytest.fixture(scope="module")
def databases(tmp_path_factory, atlas):
    """A database of a kind, two tumours where the patient's is; made when it is asked for."""
    folder = tmp_path_factory.mktemp("combined")
    space = dataclasses.replace(
        SMALL.space, origin_mm=(LESION_MM,), whole_ml=Range(1, 4), core_min_ml=0.1
    )

    def make(kind):
        path = folder / kind
        if kind == "embedded":
            return embedded_database()
        if path.exists():
            return Database.open(path)
        if kind == MERGED:
            other = make_indexed(folder / "other", 2, Plan(space, seed=9))
            outlines = outlines_of(merge(path, [make(OWN).path, other.path]))
            build_index(outlines, outlines.path)
            return Database.open(path)
        plan = Plan(space, seed=7)
        if kind == "other thresholds":
            plan = dataclasses.replace(plan, thresholds=Thresholds(core=0.5, whole=0.1))
        elif kind == "several fields":
            plan = dataclasses.replace(plan, model=ProliferativeNecrotic())
        elif kind == "tensor":
            values = np.tile(np.float32([1, 0.2, 0, 1, 0, 1]), (*atlas.grid.shape, 1))
            path_of_field = TensorField(values, atlas.grid).to_nifti(folder / "tensor.nii")
            plan = dataclasses.replace(plan, model=FisherKolmogorovTensor(path_of_field))
        elif kind == "a class of the user's":
            plan = dataclasses.replace(plan, model=Own())
        return make_indexed(path, 2, plan, store="outlines" if kind == "outlines" else "density")

    return make


@pytest.fixture(scope="module")
def files(tmp_path_factory, atlas, known):
    """A patient on voxels of 4 mm, the atlas under the known map, with outlines of all sorts."""
    folder = tmp_path_factory.mktemp("patient")
    corner = np.array([[-4, 0, 0, -15], [0, -4, 0, 235], [0, 0, 4, -20], [0, 0, 0, 1.0]])
    grids = {
        "of the T1": Grid((50, 60, 45), corner),
        "of its own": Grid((56, 67, 50), corner @ np.diag([0.9, 0.9, 0.9, 1])),
    }
    t1 = known.image_to_patient(Scan(atlas.t1, atlas.t1_grid), grids["of the T1"])
    write_nifti(folder / "t1.nii", t1.values, t1.grid)
    x, y, z = np.moveaxis(
        SIMULATION_GRID.to_world(np.moveaxis(np.indices(SIMULATION_GRID.shape), 0, -1)), -1, 0
    )
    for core, centres in CENTRES_MM.items():
        distance = np.minimum.reduce(
            [np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) for a, b, c in centres]
        )
        drawn = TumorMasks((distance < 8) & (core != "none"), distance < 13, SIMULATION_GRID)
        for voxels, grid in grids.items():
            masks = known.masks_to_patient(drawn, grid)
            labels = np.where(masks.core, 4, 2 * masks.whole).astype(np.uint8)
            speck = grid.to_voxel(known.patient_from_atlas(np.array([SPECK_MM])))
            labels[tuple(np.rint(speck[0]).astype(int))] = 2
            write_nifti(folder / f"{core}, {voxels}.nii", labels, grid)
    return folder


@pytest.fixture
def mirrored(mirrored_atlas, monkeypatch):
    """Another atlas is in use: SRI24, left and right exchanged."""
    monkeypatch.setenv(ATLAS_VARIABLE, str(mirrored_atlas))


def patient_of(row, files):
    return load_patient(
        **{row["image"]: files / "t1.nii"},
        seg=files / f"{row['core']}, {row['voxels']}.nii",
        recurrence=files / "several, of the T1.nii" if row["follow-up"] == "recurrence" else None,
        labels="brats2021",
        keep_islands=row["islands"] == "kept",
    )


def maps_of(row, atlas):
    if row["growth"] != "tissue maps":
        return None
    scans = {name: Scan(getattr(atlas, name), atlas.grid) for name in ("gm", "wm", "csf")}
    return TissueMaps(**scans, checksums={f"tissue_{name}": name for name in scans})


def source_of_tissue(row):
    """What the tissue is known from: the voxels of 4 mm are too thick to tell it apart in a T1."""
    if row["growth"] == "tissue maps":
        return TissueSource.GIVEN
    if row["tissue from"] == "atlas":
        return TissueSource.AS_ASKED
    is_t1 = row["image"] == "t1"
    return TissueSource.THICK_SLICES if is_t1 else TissueSource.CONTRAST_AGENT


def require_answer_of_its_parts(found, database):
    """The best of what was tried; its density is the largest of its tumours', and so its Dice."""
    answer = found.answer
    core, whole = answer.dice_core, answer.dice_whole
    assert answer.score == (core or 0) + whole > 0
    if answer.is_on_atlas:
        assert answer.score == max(one.score for one in found.findings.tried)
        outlines = answer.density.outlines(database.thresholds)
        assert (core or 0, whole) == dice_of_masks(found.masks, outlines)
    if answer.source in (AnswerSource.MATCH, AnswerSource.SEVERAL):
        stored = [database.growth_parameters(sample) for sample in database]
        parts = [database.density(stored.index(growth)).u for growth in answer.growths]
        np.testing.assert_array_equal(answer.density.u, np.maximum.reduce(parts))


def with_core(told, out):
    """Whether each row of a result holds a Dice of the core: all of them do, or none."""
    rows = [told["best"], told["answer"], *told["tried"], *told["agreement"].values()]
    rows += [told["fitted_thresholds"]] if told["fitted_thresholds"] else []
    rows += [told["own_anatomy"][name] for name in ("bent", "grown") if told["own_anatomy"]]
    found = {row["dice_core"] is not None for row in rows}
    with (out / "matches.csv").open(newline="", encoding="utf-8") as file:
        return found | {row["dice_core"] != "" for row in csv.DictReader(file)}


@pytest.mark.usefixtures("quick", "one_step")
@pytest.mark.parametrize("row", ROWS)
def test_what_is_combined_is_inverted_and_written(row, request, databases, files, tmp_path):
    if row["database"] == MIRRORED:
        request.getfixturevalue("mirrored")
    database, patient = databases(row["database"]), patient_of(row, files)
    tissue = maps_of(row, request.getfixturevalue("atlas"))
    options = dataclasses.replace(OPTIONS[row["growth"]], tissue_from=row["tissue from"])
    found = invert(patient, database, options, tissue=tissue)
    u = found.density.u
    assert u.shape == patient.grid.shape and 0 <= u.min() < 0.2 < u.max() <= 1
    require_answer_of_its_parts(found, database)
    assert (AnswerSource.SEVERAL in [one.source for one in found.findings.tried]) == (
        row["core"] == "several"
    )
    has_core = row["core"] != "none"
    assert ((found.answer.dice_core or 0) > 0) == has_core
    assert found.mean_dice == found.answer.score / (1 + has_core)
    assert (found.maps_on_segmentation is None) == (row["voxels"] == "of the T1")
    assert bool(found.coverage) == (row["follow-up"] == "recurrence")
    assert found.patient_tissue.source is source_of_tissue(row)
    assert found.thresholds == database.thresholds
    assert (found.findings.refinement is None) == (row["growth"] == "match")
    assert (found.findings.fitted is None) == (row["growth"] != "thresholds fitted")
    assert (found.own is None) == (row["growth"] not in ("own anatomy", "tissue maps"))
    write_inversion(found, tmp_path / "out")
    assert find_faults(tmp_path / "out") == []
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told["islands"]["left_out"] == (row["islands"] == "left out")
    assert told["islands"]["whole"]["n"] == 1
    assert told["provenance"]["database"]["checksum"] == database.checksum
    assert told["answer"]["score"] == pytest.approx(found.answer.score)
    assert with_core(told, tmp_path / "out") == {has_core}


@pytest.mark.parametrize("pair", REFUSED, ids=lambda pair: " + ".join(value for _, value in pair))
def test_what_excludes_each_other_is_refused_before_any_work(
    pair, databases, files, atlas, monkeypatch
):
    def never(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("glioquery.pipeline.inversion.growth.register_and_assess", never)
    row = {factor: values[0] for factor, values in FACTORS.items()} | dict(pair)
    field = TensorField(np.zeros((*atlas.grid.shape, 6), np.float32), atlas.grid, "none")
    database = databases(OWN)
    monkeypatch.setattr(Database, "model", FisherKolmogorovTensor(field))
    with pytest.raises(InputError, match="tensors that lie on the atlas") as refused:
        invert(patient_of(row, files), database, OPTIONS[row["growth"]], tissue=maps_of(row, atlas))
    assert "\n" not in str(refused.value)
