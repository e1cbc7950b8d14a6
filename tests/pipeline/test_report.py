"""The page: complete, self-contained, escaped; and pictures whose sides are right."""

import dataclasses
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from glioquery.atlas import Grid
from glioquery.pipeline.nifti import Scan
from glioquery.pipeline.pictures import (
    centre_of,
    draw_overlays,
    draw_registration,
    planes_through,
)
from glioquery.pipeline.quality import OutlineQuality, RegistrationQuality
from glioquery.pipeline.report import DISCLAIMER, ReportContent, render_report, write_report
from glioquery.solver import TumorDensity
from matplotlib.image import imread
from scipy import ndimage

EVIL = "<script>alert('x')</script>&\"'"


@pytest.fixture
def content():
    match = {
        "rank": 1,
        "sample": 1234,
        "score": 1.4,
        "dice_core": 0.6,
        "dice_whole": 0.8,
        "lambda_mm": 3.5,
        "rho_t": 21.0,
        "dw": 0.213,
        "rho": 0.0174,
        "days": 1200.0,
        "origin_mm": (-85.0, 125.0, 85.0),
    }
    outline = OutlineQuality(50.0, 48.0, 1.04, 1.0, 0.97)
    return ReportContent(
        case="case 7",
        is_plausible=True,
        status="The best match is plausible.",
        matches=[match, match | {"rank": 2, "sample": 99, "lambda_mm": 1.5}],
        volumes=[{"outline": "whole tumour", "patient (ml)": 50.0}],
        quality=RegistrationQuality(0.98, 0.4, 1.0, 2.1, 0.0, 0.05, outline, outline),
        maps={"Map on T1": b"png 1", "Map on FLAIR": b"png 2"},
        registration={"Checkerboard": b"png 3"},
        provenance={"versions": {"glioquery": "0.1.0"}, "seed": 1},
        timings_s={"register": 12.3, "query": 0.4},
    )


def test_the_page_says_what_it_must(content):
    page = render_report(content)
    for text in (DISCLAIMER, "case 7", "The best match is plausible.", "1234", "0.213", "0.0174"):
        assert text in page
    assert page.count("not identifiable from one scan</td>") == 3
    assert page.count(">identifiable</td>") == 3
    assert page.index("Map on T1") < page.index("Best matches") < page.index("Checkerboard")
    assert "No plausible match" not in page
    assert page.count("&#9662;</span>") == 1  # the second match alone is under-resolved
    assert "under-resolved by the grid and its speed" not in page


def test_no_plausible_match_is_loud(content):
    page = render_report(dataclasses.replace(content, is_plausible=False))
    assert page.index("No plausible match") < page.index("<img")
    assert "status bad" in page


def test_an_under_resolved_best_match_is_flagged(content):
    flagged = dataclasses.replace(content, matches=content.matches[1:])
    assert "under-resolved by the grid and its speed" in render_report(flagged)


def test_problems_of_the_registration_come_before_the_map(content):
    worse = dataclasses.replace(content.quality, brain_dice=0.9)
    page = render_report(dataclasses.replace(content, quality=worse, notices=["Mind this."]))
    assert page.index("overlap with Dice 0.900") < page.index("<img")
    assert page.index("Mind this.") < page.index("<img")


def test_no_core_is_a_dash(content):
    matches = [dict(content.matches[0], dice_core=None)]
    page = render_report(dataclasses.replace(content, matches=matches))
    assert "&ndash;" in page
    assert "core None" not in page


def test_everything_from_outside_is_escaped(content):
    page = render_report(
        dataclasses.replace(
            content,
            case=EVIL,
            status=EVIL,
            notices=[EVIL],
            volumes=[{EVIL: EVIL}],
            maps={EVIL: b""},
            registration={EVIL: b""},
            provenance={EVIL: {EVIL: EVIL}},
            timings_s={EVIL: 1.0},
            matches=[dict(content.matches[0], sample=EVIL)],
        )
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 12


def test_the_page_is_well_formed_and_needs_no_other_file(content, tmp_path):
    write_report(tmp_path / "report.html", content)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r"https?://|<link|<script|@import", page)
    assert all(s.startswith("data:image/png;base64,") for s in re.findall(r"src='([^']*)'", page))

    class Balance(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open_tags = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    balance = Balance()
    balance.feed(page)
    assert balance.open_tags == []


def test_planes_follow_radiological_convention():
    # An oblique, flipped grid; the patient's right, front and top must land left and up.
    turn = np.linalg.qr(np.array([[-0.9, 0.3, 0.1], [0.3, -0.9, 0.2], [0.1, 0.2, 1]]))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1, 1, 4])
    grid = Grid((60, 60, 20), affine)
    middle = grid.to_world([30, 30, 10])
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    box = np.linalg.norm(world - middle, axis=-1) < 25
    for axis, place in {0: "right", 1: "front", 2: "top"}.items():
        point = middle.copy()
        point[axis] += 15
        spot = np.exp(-((world - point) ** 2).sum(-1) / 60)
        for plane in planes_through(middle, box, grid):
            image = plane.sample(spot, grid)
            row, column = np.unravel_index(image.argmax(), image.shape)
            height, width = image.shape
            is_left, is_up = column < 0.45 * width, row < 0.45 * height
            expected = {
                "right": {"axial": is_left, "coronal": is_left},
                "front": {"axial": is_up, "sagittal": is_left},
                "top": {"coronal": is_up, "sagittal": is_up},
            }[place]
            assert expected.get(plane.name, True), (place, plane.name)


def test_centre_lies_in_the_largest_piece():
    mask = np.zeros((20, 20, 20), bool)
    mask[2:4, 2:4, 2:4] = True
    mask[8:18, 8:18, 8:18] = True
    mask[10:18, 10:18, 8:18] = False  # L-shaped: its mean lies outside
    grid = Grid(mask.shape, np.diag([2, 2, 2, 1]))
    voxel = np.rint(grid.to_voxel(centre_of(mask, grid))).astype(int)
    assert mask[tuple(voxel)]
    assert voxel.min() >= 8


def test_pictures_are_drawn_for_each_scan_and_repeat_exactly(virtual, known, lesion, atlas):
    u = ndimage.gaussian_filter(lesion.whole.astype(np.float32), 2)
    density = known.density_to_patient(TumorDensity(u, lesion.grid), virtual.grid)
    coarse = Grid((60, 70, 30), np.diag([4, 4, 6, 1]) + np.outer([-240, 0, -20, 0], [0, 0, 0, 1]))
    flair = Scan(np.ones(coarse.shape, np.float32), coarse)
    patient = dataclasses.replace(virtual, flair=flair)
    pictures = draw_overlays(patient, density)
    assert [name.rsplit(" ", 1)[1] for name in pictures] == ["T1", "FLAIR"]
    assert draw_overlays(patient, density) == pictures
    for png in (*pictures.values(), draw_registration(patient, known, atlas=atlas)):
        image = imread(io.BytesIO(png), format="png")
        red = (image[..., 0] > 0.9) & (image[..., 1] < 0.3) & (image[..., 2] < 0.3)
        assert red.any()  # the 0.6 line, or the outline on the atlas
    # The tumour lies in the right hemisphere: in the axial panel, left of the middle.
    image = imread(io.BytesIO(next(iter(pictures.values()))), format="png")
    panel = image[image.shape[0] // 2 : int(image.shape[0] * 0.9), : image.shape[1] // 3]
    red = (panel[..., 0] > 0.9) & (panel[..., 1] < 0.3) & (panel[..., 2] < 0.3)
    assert np.flatnonzero(red.any(0)).mean() < panel.shape[1] * 0.6
