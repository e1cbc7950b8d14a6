"""Pictures are drawn in settings of their own, and no result is lost to one."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from command_line import run
from scipy import ndimage

import glioquery.pipeline
from glioquery.atlas import Grid
from glioquery.pipeline.pictures import drawing, panels, patient_pictures
from glioquery.pipeline.pictures.drawing import new_figure, own_style, png_of
from glioquery.pipeline.pictures.planes import STEP_MM, Plane, planes_through
from glioquery.pipeline.report import viewer
from glioquery.solver import TumorDensity

PIPELINE = Path(glioquery.pipeline.__file__).parent

PARAMETERS = {
    "text.usetex": True,
    "savefig.dpi": 37,
    "savefig.bbox": "tight",
    "axes.grid": True,
    "axes.prop_cycle": matplotlib.cycler(color=["red"]),
    "image.origin": "lower",
    "image.cmap": "jet",
    "font.size": 30,
    "contour.linewidth": 9,
    "figure.autolayout": True,
    "interactive": True,
    "axes.formatter.use_locale": True,
}


@own_style()
def small_picture():
    figure = new_figure(2, 2)
    axis = figure.subplots()
    axis.imshow(np.eye(9))
    axis.contour(np.eye(9), levels=[0.5])
    axis.plot([0, 8], [8, 0], label="a line")
    axis.set_title("1.5")
    axis.legend()
    return png_of(figure)


@pytest.fixture(scope="module")
def undisturbed():
    return small_picture()


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_plotting_parameter_changes_no_picture_and_stays(undisturbed, name):
    with matplotlib.rc_context({name: PARAMETERS[name]}):
        assert small_picture() == undisturbed
        assert matplotlib.rcParams[name] == PARAMETERS[name]


def imported_into(path):
    """Names that a module imports from others."""
    tree = ast.parse(path.read_text())
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in froms for alias in node.names}


def test_every_picture_is_drawn_in_the_own_style():
    own = drawing.own_style()(len).__code__
    assert viewer.view_density.__code__ is own
    n_modules = 0
    for path in sorted(PIPELINE.rglob("*.py")):
        if path.stem == "panels" or not {"new_figure", "new_panels"} & imported_into(path):
            continue
        name = ".".join(("glioquery.pipeline", *path.relative_to(PIPELINE).with_suffix("").parts))
        functions = [
            function
            for public, function in vars(importlib.import_module(name)).items()
            if public.startswith("draw_")
            and function.__module__ == name
            and public != "draw_movie"  # whose frames are those of `draw_on_atlas`
        ]
        assert functions, path
        for function in functions:
            assert function.__code__ is own, function
        n_modules += 1
    assert n_modules >= 7


def test_slices_show_the_same_in_any_style(virtual, known, lesion, monkeypatch):
    monkeypatch.setattr(viewer, "STEP_MM", 3.0)
    density = known.density_to_patient(
        TumorDensity(lesion.whole.astype("float32"), lesion.grid), virtual.grid
    )
    backend = dict.__getitem__(matplotlib.rcParams, "backend")
    with matplotlib.rc_context({"image.origin": "lower", "image.cmap": "jet", "text.usetex": True}):
        page = viewer.view_density(virtual, density)
    assert dict.__getitem__(matplotlib.rcParams, "backend") == backend
    expected = viewer.view_density(virtual, density)
    name = re.compile("[0-9a-f]{32}")  # drawn by lot
    assert name.sub("", page) == name.sub("", expected)


def test_matplotlib_is_imported_in_one_module():
    found = []
    for path in PIPELINE.rglob("*.py"):
        names = [
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        ]
        if any(name.split(".")[0] in ("matplotlib", "pyplot") for name in names):
            found.append(path.relative_to(PIPELINE).as_posix())
    assert found == ["pictures/drawing.py"]


def test_a_backend_that_is_not_there_breaks_no_import():
    backend = "module://not_there"
    program = "import os, glioquery.pipeline.pictures.drawing; print(os.environ['MPLBACKEND'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MPLBACKEND": backend}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, backend), done.stderr


def test_a_backend_of_the_users_is_still_his_afterwards():
    program = (
        "import glioquery.pipeline.pictures.drawing, matplotlib.pyplot as plt\n"
        "print(plt.get_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MPLBACKEND": "svg"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "svg", done.stderr


def test_what_cannot_be_drawn_is_told_in_one_sentence():
    failures = []
    assert drawing.drawn("The picture", lambda: 7, failures) == 7
    assert failures == []

    def fail():
        raise RuntimeError("no\nlatex")

    assert drawing.drawn("The picture", fail, failures) is None
    assert failures == ["The picture is missing (no latex)."]


@pytest.mark.parametrize(
    "command",
    [
        ("atlas",),
        ("simulate", "--origin", -85, 125, 85, "--dw", 0.1, "--rho", 0.05, "--days", 60),
    ],
)
def test_a_picture_that_fails_costs_no_result(capsys, tmp_path, monkeypatch, command):
    monkeypatch.setattr("glioquery.pipeline.pictures.panels.png_of", lambda figure: {}["canvas"])
    picture, output = tmp_path / "new" / "picture.png", tmp_path / "density.nii.gz"
    more = ("-o", output) if command[0] == "simulate" else ()
    code, out, err = run(capsys, *command, *more, "--picture", picture, "--json")
    assert code == 0, err
    assert f"The picture {picture} is missing ('canvas')." in err
    assert "picture" not in json.loads(out)
    assert not picture.exists() and output.exists() == bool(more)


def test_a_movie_is_refused_before_anything_is_grown(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("glioquery.solver.simulate", None)
    simulate = ("simulate", "--origin", -85, 125, 85, "--dw", 0.1, "--rho", 0.05, "--days", 60)
    output = ("-o", tmp_path / "density.nii.gz")
    code, _, err = run(capsys, *simulate, *output, "--movie", tmp_path / "movie.avi")
    assert code == 2 and "written as .gif" in err
    (tmp_path / "file").touch()
    code, _, err = run(capsys, *simulate, *output, "--picture", tmp_path / "file" / "picture.png")
    assert code == 2 and str(tmp_path / "file") in err


def values_of(shape, kind):
    """Values everywhere, in a few voxels, in a corner that most planes miss, or nowhere."""
    rng = np.random.default_rng(0)
    values = rng.random(shape, np.float32)
    kept = {
        "everywhere": np.ones(shape, bool),
        "a few": rng.random(shape) < 0.02,
        "a corner": np.indices(shape).sum(axis=0) < 5,
        "nowhere": np.zeros(shape, bool),
    }[kind]
    return np.where(kept, values, 0)


@pytest.mark.parametrize("kind", ["everywhere", "a few", "a corner", "nowhere"])
@pytest.mark.parametrize("off_mm", [-6.0, 0.0, 9.0, 300.0])
def test_a_plane_samples_what_the_whole_image_would_give(off_mm, kind):
    affine = np.array([[0.9, 0.3, 0, -5], [-0.3, 0.9, 0.1, 2], [0, 0.2, 1.5, -8], [0, 0, 0, 1]])
    grid = Grid((12, 14, 9), affine)
    values = values_of(grid.shape, kind)
    y, z = np.meshgrid(np.arange(-12, 14, 0.5), np.arange(-11, 12, 0.5))
    plane = Plane("sagittal", np.stack([np.full(y.shape, off_mm), y, z], -1), off_mm)
    voxels = np.moveaxis(grid.to_voxel(plane.points_mm), -1, 0)
    expected = ndimage.map_coordinates(values, voxels, order=1, mode="grid-constant")
    np.testing.assert_allclose(plane.sample(values, grid), expected, atol=1e-6)
    assert kind != "everywhere" or plane.sample(values, grid).any() == (off_mm < 300)
    mask = values > 0.3
    expected = ndimage.map_coordinates(
        mask.astype(np.float32), voxels, order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(plane.sample(mask, grid), expected, atol=1e-6)


@pytest.mark.parametrize(
    "plane",
    planes_through((3.0, 4.0, 5.0), np.ones((9, 8, 7)) > 0, Grid((9, 8, 7), np.diag([2, 2, 2, 1]))),
)
def test_the_grid_of_a_plane_has_its_points_as_voxels(plane):
    height, width, _ = plane.points_mm.shape
    assert plane.grid.shape == (height, width, 1)
    voxels = np.moveaxis(np.indices(plane.grid.shape), 0, -1)
    np.testing.assert_allclose(plane.grid.to_world(voxels)[:, :, 0], plane.points_mm, atol=1e-9)
    assert plane.grid.voxel_ml == pytest.approx(STEP_MM**2 * 1e-3)
    values = np.random.default_rng(0).random(plane.grid.shape).astype(np.float32)
    np.testing.assert_allclose(plane.sample(values, plane.grid), values[..., 0], atol=1e-5)


def test_lines_are_those_of_a_search_of_the_whole_plane():
    """Blobs inside, at the edges and at a corner; a level above all of them; an empty image."""
    image = ndimage.gaussian_filter(np.random.default_rng(1).random((40, 30)) ** 8, 2)
    image[:4, :4] = image[20:24, -3:] = image.max()
    levels = [float(np.quantile(image, q)) for q in (0.6, 0.9)]
    drawn, whole = (new_figure(2, 2).subplots() for _ in range(2))
    lines = [*zip(levels, ("red", "blue"), strict=True), (9.0, "green")]
    panels.add_contours(drawn, image, lines, 1.0)
    whole.contour(image, levels=levels)
    found, expected = (axis.collections[0].get_paths() for axis in (drawn, whole))
    assert len(found) == len(expected) == len(levels)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.vertices, theirs.vertices)
        np.testing.assert_array_equal(ours.codes, theirs.codes)
    panels.add_contours(drawn, np.zeros((5, 5)), lines, 1.0)
    assert len(drawn.collections) == 1


def test_a_density_is_coloured_from_its_lowest_level_on():
    levels = (0.001, 0.2)
    axis = new_figure(1, 1).add_subplot()
    panels.add_isolines(axis, np.array([[0.0, 0.0009], [0.002, 0.3]], np.float32), levels, 1.0)
    (image,) = axis.images
    alpha = image.cmap(image.norm(image.get_array()))[..., 3]
    assert (alpha[0] == 0).all() and (alpha[1] > 0.05).all()


def legend_and_panels(monkeypatch, draw):
    """Where the legend and the panels of a picture lie: (x0, y0, x1, y1) in inches; its size."""
    found = []

    def measured(figure):
        legend = figure.legends[0].get_window_extent()
        panels_at = [axis.get_position(original=True).extents for axis in figure.axes]
        size = figure.get_size_inches()
        found.append((legend.extents / figure.dpi, np.array(panels_at) * [*size, *size], size))
        return png_of(figure)

    monkeypatch.setattr(panels, "png_of", measured)
    draw()
    return found[0]


@pytest.mark.parametrize("n_days", [1, 2, 3, 5])
def test_the_legend_of_days_lies_below_the_panels(n_days, virtual, lesion, monkeypatch):
    density = TumorDensity(virtual.masks.whole.astype("float32"), virtual.grid)
    legend, places, size = legend_and_panels(
        monkeypatch, lambda: patient_pictures.draw_days(virtual, [("day 9", density)] * n_days)
    )
    assert (legend[:2] >= 0).all() and (legend[2:] <= size).all()
    assert legend[3] <= places[:, 1].min() + 1e-6
    np.testing.assert_allclose(places[:, 3] - places[:, 1], panels.PANEL_INCHES, rtol=1e-6)


@pytest.mark.parametrize("n_levels", [4, 6, 8, 22])
def test_the_legend_of_many_densities_lies_below_the_panels(n_levels, virtual, monkeypatch):
    density = TumorDensity(virtual.masks.whole.astype("float32"), virtual.grid)
    levels = np.linspace(0.0123, 0.9, n_levels)
    legend, places, size = legend_and_panels(
        monkeypatch, lambda: patient_pictures.draw_density(virtual, density, levels=levels)
    )
    assert (legend[:2] >= 0).all() and (legend[2:] <= size).all()
    assert legend[3] <= places[:, 1].min() + 1e-6


def test_a_plane_just_below_0_lies_at_0(virtual, monkeypatch):
    """It was told as -0 mm."""
    texts = []
    monkeypatch.setattr(
        panels, "png_of", lambda f: texts.extend(t for a in f.axes for t in a.texts)
    )
    (plane, *_) = planes_through(np.zeros(3), virtual.brain, virtual.grid)
    figure, ((axis,),) = panels.new_panels(1, [Plane(plane.name, plane.points_mm, -0.3)])
    panels.show_plane(axis, np.zeros((2, 2)), 1.0, Plane(plane.name, plane.points_mm, -0.3))
    panels.finish(figure, [("a", "#ffffff")])
    assert any(text.get_text().endswith("= 0 mm") for text in texts)
