"""The page: complete, self-contained, escaped; and pictures whose sides are right."""

import base64
import dataclasses
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from markupsafe import Markup, escape
from matplotlib.image import imread
from scipy import ndimage

from glioquery.atlas import Grid
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.pictures.atlas_pictures import draw_registration
from glioquery.pipeline.pictures.patient_pictures import draw_overlays
from glioquery.pipeline.pictures.planes import centre_of, planes_through
from glioquery.pipeline.registration.quality import OutlineQuality, RegistrationQuality
from glioquery.pipeline.report.page import DISCLAIMER, number
from glioquery.pipeline.report.report import (
    ReportContent,
    Section,
    Table,
    render_report,
    write_report,
)
from glioquery.pipeline.report.terms import TERMS, explained
from glioquery.pipeline.report.viewer import view_density
from glioquery.solver import FisherKolmogorov, TumorDensity
from glioquery.solver.declarations import Declared

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
        "under_resolved": False,
    }
    outline = OutlineQuality(50.0, 48.0, 1.04, 1.0, 0.97, 40.0)
    return ReportContent(
        case="case 7",
        is_plausible=True,
        status="The best match is plausible.",
        answer={
            "source": "best match",
            "space": "SRI24",
            "score": 1.4,
            "dice_core": 0.6,
            "dice_whole": 0.8,
            "growths": [match],
        },
        matches=[match, match | {"rank": 2, "sample": 99, "under_resolved": True}],
        volumes=Table(("outline", "patient (ml)"), [("whole tumour", 50.0)]),
        quality=RegistrationQuality(
            0.98, 0.6, 0.1, 0.5, 0.4, 1.0, 2.1, 0.0, 0.05, outline, outline
        ),
        maps={"Map on T1": b"png 1", "Map on FLAIR": b"png 2"},
        registration={"Checkerboard": b"png 3"},
        provenance={"versions": {"glioquery": "0.1.0"}, "seed": 1},
        timings_s={"register": 12.3, "query": 0.4},
    )


def test_a_doubtful_registration_is_not_told_as_good(content):
    assert 'class="status good"' in render_report(content)
    quality = dataclasses.replace(content.quality, brain_dice=0.8)
    doubtful = render_report(dataclasses.replace(content, quality=quality))
    assert 'class="status bad"' in doubtful and 'class="status good"' not in doubtful


def test_an_origin_is_said_to_lie_where_the_growth_began(content):
    assert "Origin x, y, z in the atlas (RAS)" in render_report(content)
    own = dataclasses.replace(content, answer=content.answer | {"space": "patient"})
    assert "Origin x, y, z in the registered image (RAS)" in render_report(own)


def test_the_page_says_what_it_must(content):
    page = render_report(content)
    for text in (DISCLAIMER, "case 7", "The best match is plausible.", "1234", "0.213", "0.0174"):
        assert text in page
    assert page.count("not identifiable from one scan</td>") == 3
    assert page.count(">identifiable</td>") == 3
    assert page.index("Map on T1") < page.index("Best matches") < page.index("Checkerboard")
    assert "No plausible match" not in page
    assert page.count("▾</span>") == 1  # the second match alone is under-resolved
    assert "under-resolved by the grid and its speed" not in page


def test_no_plausible_match_is_loud(content):
    page = render_report(dataclasses.replace(content, is_plausible=False))
    assert page.index("No plausible match") < page.index("<img")
    assert "status bad" in page


def test_an_under_resolved_best_match_is_flagged(content):
    flagged = dataclasses.replace(content, answer=content.answer | {"growths": content.matches[1:]})
    assert "under-resolved by the grid and its speed" in render_report(flagged)


def test_problems_of_the_registration_come_before_the_map(content):
    worse = dataclasses.replace(content.quality, brain_dice=0.9)
    page = render_report(dataclasses.replace(content, quality=worse, notices=["Mind this."]))
    assert page.index("overlap with Dice 0.900") < page.index("<img")
    assert page.index("Mind this.") < page.index("<img")


def test_the_picture_of_the_answer_comes_before_its_numbers(content):
    page = render_report(content)
    assert page.index("Map on T1") < page.index('<div class="key">') < page.index("hypothesis")


def test_a_term_tells_its_meaning_under_the_pointer_and_at_the_end(content):
    page = render_report(content)
    assert f'<abbr title="{escape(TERMS["λ"])}">λ</abbr> (mm)</th>' in page
    assert f'<abbr title="{escape(TERMS["brain Dice"])}">Brain Dice</abbr>, patient' in page
    assert page.index("<h2>Words</h2>") < page.index(f"<dt>λ</dt><dd>{escape(TERMS['λ'])}</dd>")


def test_a_text_that_is_explained_is_escaped():
    assert explained("<i>score</i>") == Markup(
        f'&lt;i&gt;<abbr title="{TERMS["score"]}">score</abbr>&lt;/i&gt;'
    )
    assert explained("scored") == "scored"


def test_letters_that_only_look_like_a_terms_are_none():
    assert explained("D\u0130CE \u017fcore") == Markup("D\u0130CE \u017fcore")


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (999.4, None, "999"), (999.7, None, "1000"), (np.float64(-999.9), None, "-1000"),
        (12345.6, None, "12346"), (0.12345, None, "0.123"), (-0.2, 0, "0"), (-0.6, 0, "-1"),
        (None, 2, "–"), (np.float32("nan"), 2, "–"), (math.inf, None, "–"), (True, None, "True"),
    ],
)  # fmt: skip
def test_a_number_of_a_cell(value, decimals, text):
    assert number(value, decimals) == text


def test_a_parameter_that_the_outlines_leave_open_is_not_called_identifiable(content):
    growth = content.answer["growths"][0] | {"ratio": 5.0}
    answer = content.answer | {"growths": [growth]}
    declared = Declared.by(FisherKolmogorov())
    content = dataclasses.replace(content, answer=answer, declared=declared)
    open_one = "not determined by the outlines"
    for undetermined, told in (((), "identifiable"), (("ratio",), open_one)):
        page = render_report(dataclasses.replace(content, undetermined=undetermined))
        (row,) = re.findall(r"<tr[^>]*><td>[^<]*Dw/Dg.*</tr>", page)
        assert row.endswith(f"<td>{told}</td></tr>")


def test_no_core_is_a_dash(content):
    matches = [dict(content.matches[0], dice_core=None)]
    answer = content.answer | {"dice_core": None}
    page = render_report(dataclasses.replace(content, matches=matches, answer=answer))
    assert "–" in page and "of the core" not in page and "whole tumour alone), of 1" in page
    assert "core None" not in page


def test_everything_from_outside_is_escaped(content):
    page = render_report(
        dataclasses.replace(
            content,
            case=EVIL,
            status=EVIL,
            notices=[EVIL],
            volumes=Table((EVIL,), [(EVIL,)]),
            answers=[Section(EVIL, [EVIL], [Table((EVIL,), [(EVIL,)])], {EVIL: b""})],
            maps={EVIL: b""},
            registration={EVIL: b""},
            provenance={EVIL: {EVIL: EVIL}},
            timings_s={EVIL: 1.0},
            matches=[dict(content.matches[0], sample=EVIL)],
        )
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 17


def test_the_page_is_well_formed_and_needs_no_other_file(content, tmp_path):
    write_report(tmp_path / "report.html", content)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|@import", page)
    assert "default-src 'none'" in page
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) > 3 and all(address.startswith("data:") for address in addresses)

    class Balance(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open_tags = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img", "link"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    balance = Balance()
    balance.feed(page)
    assert balance.open_tags == []


def test_what_a_planner_asks_stands_before_the_matches_and_its_certainty_behind(content):
    page = render_report(
        dataclasses.replace(
            content,
            answers=[Section("Planning", ["So much."], [Table(("a", "b"), [("c", None)])])],
            evidence=[Section("Uncertainty", pictures={"Spread": b"png 4"})],
        )
    )
    order = [page.index(f"<h2>{t}") for t in ("Planning", "Best matches", "Uncertainty", "Reg")]
    assert order == sorted(order)
    assert "So much." in page and '<td>c</td><td class="n">–</td>' in page


def test_several_tumors_have_a_column_each(content):
    second = dict(content.matches[0], lambda_mm=7.25, origin_mm=(-60.0, 90.0, 71.0))
    growths = [content.matches[0], second]
    page = render_report(dataclasses.replace(content, answer=content.answer | {"growths": growths}))
    assert "<th>Tumour 1</th><th>Tumour 2</th>" in page
    assert '<td class="n">3.50</td><td class="n">7.25</td><td>mm</td>' in page
    assert "-60.0, 90.0, 71.0" in page


@pytest.fixture(scope="module")
def blob(known, virtual, lesion):
    u = ndimage.gaussian_filter(lesion.whole.astype(np.float32), 2)
    return known.density_to_patient(TumorDensity(u, lesion.grid), virtual.grid)


def test_the_viewer_starts_in_the_tumor_and_tells_the_sides_right(virtual, viewer):
    settings = json.loads(re.search(r"brainsprite\((\{.*\})\);", viewer)[1])
    centre = centre_of(virtual.masks.whole, virtual.grid)
    shown = [settings["numSlice"][axis] + 1 for axis in "XYZ"]
    told = np.array(settings["affine"])[:3] @ [*shown, 1]
    np.testing.assert_allclose(told, centre, atol=0.51)
    # The picture: a mosaic of sagittal slices; the one it starts with holds the density's middle.
    png = re.search(r'id="overlayImg-[^>]*src="data:image/png;base64,([^"]*)"', viewer, re.S)[1]
    overlay = imread(io.BytesIO(base64.b64decode(png)), format="png")
    n = settings["nbSlice"]
    columns = overlay.shape[1] // n["Y"]

    def weight(i):
        row, column = divmod(i, columns)
        tile = overlay[row * n["Z"] : (row + 1) * n["Z"], column * n["Y"] : (column + 1) * n["Y"]]
        return tile[..., 3].sum()

    weights = np.array([weight(i) for i in range(n["X"])])
    middle = (weights * np.arange(n["X"])).sum() / weights.sum()
    assert abs(middle - settings["numSlice"]["X"]) < 3
    assert middle < n["X"] / 2  # radiological: the patient's right comes first


CLICK = """<script>
addEventListener("error", e => document.body.dataset.error = e.message);
addEventListener("load", () => setTimeout(() => {
  const canvas = document.querySelector("iframe").contentDocument.querySelector("canvas");
  const before = canvas.toDataURL(), box = canvas.getBoundingClientRect();
  const at = {clientX: box.left + 0.85 * box.width, clientY: box.top + 0.4 * box.height};
  canvas.dispatchEvent(new MouseEvent("click", at));
  const frame = document.querySelector("iframe"), held = frame.contentDocument.body.offsetHeight;
  document.body.dataset.drawn = canvas.width > 100 && before.length > 10000;
  document.body.dataset.fits = Math.abs(frame.clientHeight - held) < 2 && held > 200;
  document.body.dataset.moved = before !== canvas.toDataURL();
}, 3000));
</script></body>"""


@pytest.fixture(scope="module")
def viewer(virtual, blob):
    return view_density(virtual, blob)


@pytest.fixture
def shown(content, viewer, tmp_path):
    """A page with the viewer."""
    page = dataclasses.replace(content, viewer=viewer)
    write_report(tmp_path / "a <b> & 'c'.html", page)
    return tmp_path / "a <b> & 'c'.html"


def test_a_browser_opens_the_page_without_an_error_and_the_viewer_moves(shown, chromium):
    clicked = shown.with_name("clicked.html")
    clicked.write_text(shown.read_text(encoding="utf-8").replace("</body>", CLICK, 1))
    done = chromium(clicked, "--dump-dom", "--window-size=1200,900")
    body = re.search(r"<body[^>]*>", done.stdout)[0]
    assert 'data-drawn="true"' in body and 'data-moved="true"' in body, body
    assert 'data-fits="true"' in body, body
    assert "data-error" not in body
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    # Advice of the browser's about this test's own reading of the canvas.
    assert [line for line in said if "willReadFrequently" not in line] == []


def test_a_browser_prints_the_page(shown, chromium):
    pdf = shown.with_name("page.pdf")
    chromium(shown, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    printed = pdf.read_bytes()
    assert printed.startswith(b"%PDF") and printed.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 2


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
    failures = []
    pictures = draw_overlays(patient, density, failures=failures)
    assert [name.rsplit(" ", 1)[1] for name in pictures] == ["T1", "FLAIR"]
    assert draw_overlays(patient, density, failures=failures) == pictures
    assert failures == []
    for png in (*pictures.values(), draw_registration(patient, known, atlas=atlas)):
        image = imread(io.BytesIO(png), format="png")
        red = (image[..., 0] > 0.9) & (image[..., 1] < 0.3) & (image[..., 2] < 0.3)
        assert red.any()  # the 0.6 line, or the outline on the atlas
    # The tumour lies in the right hemisphere: in the axial panel, left of the middle.
    image = imread(io.BytesIO(next(iter(pictures.values()))), format="png")
    panel = image[image.shape[0] // 2 : int(image.shape[0] * 0.9), : image.shape[1] // 3]
    red = (panel[..., 0] > 0.9) & (panel[..., 1] < 0.3) & (panel[..., 2] < 0.3)
    assert np.flatnonzero(red.any(0)).mean() < panel.shape[1] * 0.6
