"""What the pages show can be typed: every command parses, and is run on small databases."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from glioquery.atlas.brain import block_mean
from glioquery.dbgen import Database
from glioquery.pipeline.commands.cli import COMMANDS, application
from glioquery.pipeline.images.nifti import write_nifti

ROOT = Path(__file__).parent.parent
GENERATED = ("docs/_build", "docs/reference/api", "docs/reference/rooms", "docs/tutorials/gallery")
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "dbgen/FORMAT.md",
    *sorted(
        page
        for path in (ROOT / "docs").rglob("*.md")
        if not (page := path.relative_to(ROOT).as_posix()).startswith(GENERATED)
        and page not in ("docs/reference/commands.md", "docs/reference/result-json.md")
    ),
)
OTHERS_OPTIONS = (
    "docs/cluster.md",
    "docs/how-to/run-in-a-container.md",
    "docs/versions.md",
    "docs/how-to/use-measured-tensors.md",
    "CONTRIBUTING.md",
)
"""Pages that name options of other programs."""
PLACEHOLDERS = {"N": "5", "X": "1", "Y": "1", "Z": "1", "[DB]": "DB", "DB...": "DB", "...": "x"}


@pytest.fixture(scope="module")
def group():
    return typer.main.get_command(application(COMMANDS))


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def shown_lines(page):
    """Commands that stand in blocks of code, whole."""
    text = text_of(page).replace("\\\n", " ")
    blocks = re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL)
    fenced = "\n".join(blocks).replace("  entrypoint: ", "")
    indented = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [
        *re.findall(r"^ {4,}(glioquery [^|\n]*)$", indented, re.MULTILINE),
        *re.findall(r"^(glioquery [^|\n]*)$", fenced, re.MULTILINE),
    ]


def shown_spans(page):
    """Commands in running text; what is said elsewhere may be left out."""
    spans = re.findall(r"`(glioquery\s[^`]*)`", text_of(page))
    return [" ".join(span.split()) for span in spans]


def options_of(command):
    return {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


def parse(group, line, *, whole):
    """Parse a command as the command line does, but run nothing."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line, comments=True)]
    program, *words = words
    while words and words[0] in options_of(group):
        del words[0]
    if words == ["--help"]:
        return
    name, *arguments = words
    assert program == "glioquery" and name in group.commands, f"no command: {line}"
    try:
        group.commands[name].make_context(name, arguments)
    except Exception as error:  # Click's, which Typer may bring along under its own name
        if whole or type(error).__name__ != "MissingParameter":
            raise AssertionError(f"{line}: {error!r}") from None


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_parses(group, page):
    for line in shown_lines(page):
        parse(group, line, whole=True)
    for span in shown_spans(page):
        parse(group, span, whole=False)


def test_what_is_found_on_the_pages_is_what_they_show():
    assert "glioquery generate /shared/DB --n 50000 --address auto" in shown_lines(
        "docs/cluster.md"
    )
    assert 'glioquery generate /shared/DB --n 50000 --address "$address"' in shown_lines(
        "docs/cluster.md"
    )
    assert len(shown_lines("docs/cluster.md")) == 6 and len(shown_lines("README.md")) == 5
    made = shown_spans("docs/how-to/make-a-database.md")
    assert any("dbgen/default_database --n 6500" in span for span in made)
    assert shown_lines("docs/tutorials/first-patient.md")[0] == "glioquery demo -o demo-output"
    assert sum(bool(shown_lines(page) or shown_spans(page)) for page in PAGES) >= 20


@pytest.mark.parametrize(
    "line", ["glioquery grow DB", "glioquery index", "glioquery index DB --thresholds 0.5",
             "glioquery index DB DB2", "glioquery generate DB --n many"],
)  # fmt: skip
def test_a_command_that_does_not_parse_is_found(group, line):
    with pytest.raises(AssertionError):
        parse(group, line, whole=True)


def test_the_table_of_commands_is_that_of_the_program(group):
    page = text_of("docs/reference/command-line.md")
    rows = re.findall(r"^\| `glioquery ([a-z-]+)[^`]*` \| (.*) \|$", page, re.M)
    assert {name for name, _ in rows} == set(COMMANDS)
    for name, said in rows:
        named = set(re.findall(r"--[a-z0-9-]+", said))
        assert named <= options_of(group.commands[name]), name


@pytest.mark.parametrize("page", [page for page in PAGES if page not in OTHERS_OPTIONS])
def test_every_option_that_is_named_exists(group, page):
    known = {"--help"} | options_of(group).union(*(options_of(c) for c in group.commands.values()))
    if page == "docs/results.md":
        for script in (ROOT / "tests" / "benchmark").glob("*.py"):
            known |= set(re.findall(r'"(--[a-z0-9-]+)"', script.read_text(encoding="utf-8")))
    with_pip = (
        "README.md",
        "docs/environment.md",
        "docs/explanation/accuracy-and-speed.md",
        "docs/tutorials/new-growth-model.md",
    )
    if page in with_pip:
        known |= {"--constraint", "--editable", "--synthetic"}  # of pip, and of a benchmark
    assert set(re.findall(r"--[a-z][a-z0-9-]*", text_of(page))) <= known


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_of_a_page_above_the_site_leads_to_a_file(page):
    """`make docs` sees to those of the site's pages."""
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text_of(page))
    links = [link for link in links if not link.startswith("https://")]
    assert [link for link in links if not (ROOT / link).exists()] == []


def named_benchmarks():
    """Pages, and the calls of benchmarks that stand in them."""
    pages = [*PAGES, "CHANGELOG.md"]
    called = r"`(?:\$ )?(?:python )?(tests/benchmark/\w[^`]*)`"
    return [
        (page, " ".join(s.split())) for page in pages for s in re.findall(called, text_of(page))
    ]


@pytest.mark.parametrize(("page", "call"), named_benchmarks())
def test_every_benchmark_that_is_named_exists_with_its_options(page, call):
    script, *arguments = call.split()
    source = (ROOT / script).read_text(encoding="utf-8")
    for word in arguments:
        if word.startswith("--") or re.fullmatch(r"[a-z]+", word):
            assert f'"{word}"' in source, page


def test_calls_of_benchmarks_are_found():
    found = named_benchmarks()
    assert (
        "docs/explanation/accuracy-and-speed.md",
        "tests/benchmark/inversion.py refine",
    ) in found
    assert len([page for page, _ in found if page == "docs/results.md"]) >= 10


@contextlib.contextmanager
def two_nodes(log):
    """The address of a cluster of this machine's own with two nodes; what it says is logged."""
    script = (
        "import sys\n"
        "from ray.cluster_utils import Cluster\n"
        "head = dict(num_cpus=1, include_dashboard=False)\n"
        "cluster = Cluster(initialize_head=True, head_node_args=head)\n"
        "cluster.add_node(num_cpus=1)\n"
        "print('at', cluster.address, flush=True)\n"
        "sys.stdin.read()\n"
        "cluster.shutdown()\n"
    )
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=errors, text=True, env=environment(),
        )  # fmt: skip
    try:
        address = next((x.split()[1] for x in process.stdout if x.startswith("at ")), None)
        assert address, log.read_text()
        yield address
    finally:
        process.stdin.close()
        process.wait(timeout=120)
        process.stdout.close()


def environment(**more):
    return {**os.environ, "RAY_AUTH_MODE": "disabled", **more}


def run_line(line, folder, **more):
    """Run a command in a folder, as a shell with its environment does."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "glioquery"
    done = subprocess.run(
        [sys.executable, "-m", "glioquery.pipeline.commands.cli", *arguments],
        cwd=folder, capture_output=True, text=True, env=environment(**more),
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stderr


def write_labels(path, masks, labels=(2, 4)):
    whole, core = labels
    values = np.where(masks.core, core, whole * masks.whole).astype(np.uint8)
    write_nifti(path, values, masks.grid)


@pytest.mark.slow
def test_every_command_of_the_cluster_page_runs_on_two_nodes(atlas, tmp_path):
    """As they stand, but for the folder and the number of tumours."""
    shared = tmp_path / "shared"
    shared.mkdir()
    lines = [line for line in shown_lines("docs/cluster.md") if line.endswith("--address auto")]
    assert [line.split()[1] for line in lines] == [
        "generate",
        "index",
        "query",
        "cohort",
        "generate",
    ]
    with two_nodes(tmp_path / "cluster.log") as address:
        for line in lines:
            line = line.replace("/shared", str(shared)).replace("50000", "6")
            run_line(line, shared, RAY_ADDRESS=address)
            if "generate" in line:  # a patient whose tumour is one of these
                masks = Database.open(shared / "DB").outlines(2)
                write_labels(shared / "seg.nii.gz", masks)
                write_nifti(shared / "t1.nii.gz", block_mean(atlas.t1), atlas.grid)
                (shared / "cases.csv").write_text(
                    "id,t1,seg,labels\nA,t1.nii.gz,seg.nii.gz,brats2021\n"
                )
        line = f'glioquery generate {shared}/DB --n 10 --address "{address}"'
        assert "10 of 10 tumours" in run_line(line, shared)
        assert "10 of 10 tumours" in run_line(f"glioquery index DB --address {address}", shared)
    assert (shared / "OUT" / "sub-A" / "result.json").exists()
    assert len(Database.open(shared / "DB")) == 10


@pytest.mark.slow
def test_every_command_of_the_readme_runs_on_a_small_database(atlas, tmp_path):
    """Each at least once, with a database of its own and with that which comes along."""
    write_nifti(tmp_path / "T1.nii.gz", block_mean(atlas.t1), atlas.grid)
    (tmp_path / "cases.csv").write_text("id,t1,seg,labels\nA,T1.nii.gz,SEG.nii.gz,brats2021\n")
    exam = tmp_path / "in" / "Patient-0"
    exam.mkdir(parents=True)
    for name in ("wm", "gm", "csf"):
        write_nifti(exam / f"0-{name}.nii.gz", getattr(atlas, name), atlas.grid)
    blocks = [line.replace("50000", "8") for line in shown_lines("README.md")]
    invert, *of_database = blocks
    assert invert.startswith("glioquery invert") and len(of_database) == 4
    generated, *others = of_database
    run_line(generated, tmp_path)
    masks = Database.open(tmp_path / "DB").outlines(2)
    write_labels(tmp_path / "SEG.nii.gz", masks)
    write_labels(exam / "0-tumorseg.nii.gz", masks, labels=(2, 3))
    anatomy = tmp_path / "IN_BIDS" / "sub-01" / "anat"
    anatomy.mkdir(parents=True)
    (tmp_path / "IN_BIDS" / "dataset_description.json").write_text("{}")
    shutil.copy(tmp_path / "T1.nii.gz", anatomy / "sub-01_T1w.nii.gz")
    shutil.copy(tmp_path / "SEG.nii.gz", anatomy / "sub-01_desc-tumor_dseg.nii.gz")
    lines = [
        *(line.replace("calibrate DB", "calibrate DB --n 9") for line in others),
        invert,
        "glioquery invert DB --t1 T1.nii.gz --seg SEG.nii.gz --labels brats2021 -o OWN --no-refine",
        "glioquery cohort cases.csv -o COHORT",
        "glioquery bids IN_BIDS MADE participant --labels brats2021 --no-refine",
        "glioquery bids IN_BIDS MADE group --labels brats2021",
        "glioquery check OWN",
        "glioquery check COHORT",
        "glioquery check MADE",
        "glioquery atlas --picture atlas.png",
        "glioquery simulate --origin -90 120 90 --dw 0.2 --rho 0.05 --days 150 -o u.nii.gz",
        "glioquery generate OTHER --n 4 --seed 1 --store outlines",
        "glioquery generate OTHER --n 8 --dry-run",
        "glioquery merge ALL DB OTHER",
        "glioquery describe",
        "glioquery describe ALL",
        "glioquery verify DB",
        "glioquery export DB SHARED",
        "glioquery index ALL",
        "glioquery query --seg SEG.nii.gz --labels brats2021",
        "glioquery query ALL --seg SEG.nii.gz --labels brats2021 --measure jaccard",
        "glioquery train DB --strategy ds32",
        "glioquery evaluate -o EVALUATION --synthetic 2 --strategies direct",
        "glioquery evaluate DB -o SMALL --synthetic 2 --strategies ds32,naive --cases OUT",
        "glioquery predict-gbm --input in --output maps --database DB",
        "glioquery trial TRIAL --patients 1 --arms a",
        "glioquery demo -o demo-output",
    ]
    elsewhere = {"fetch", "tensor-atlas"}  # one needs a server, the other an image of tensors
    assert {line.split()[1] for line in [generated, *lines]} == set(COMMANDS) - elsewhere
    for line in lines:
        run_line(line, tmp_path)
    for made in ("OUT/report.html", "OWN/result.json", "COHORT/cohort.csv", "SMALL/evaluation.md"):
        assert (tmp_path / made).stat().st_size > 0
    assert '"no_intervals": null' in (tmp_path / "OWN" / "result.json").read_text()
