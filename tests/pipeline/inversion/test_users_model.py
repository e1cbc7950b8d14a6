"""A user's model from its study to the patient's report, by commands alone."""

import json

import numpy as np
import pytest
import three_of_its_own
from command_line import run

STUDY = """
origin_mm = [-85, 125, 85]
whole_ml = { low = 8, high = 25 }
snapshots_per_run = 2
ratio = [5, 10]
death = { low = 1e-4, high = 5e-3, scale = "log-uniform" }
"""


@pytest.mark.slow  # it compiles, and refines in seven directions
@pytest.mark.usefixtures("quick")
def test_a_users_model_is_drawn_generated_found_refined_and_reported(capsys, coarse, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    database, out = tmp_path / "db", tmp_path / "out"
    model = ["--model", f"{three_of_its_own.__name__}:Shedding"]
    scans = ["--seg", coarse / "seg.nii", "--labels", "brats2021"]

    def done(*command):
        code, printed, err = run(capsys, *command)
        assert code == 0, err
        return printed

    space = ["--space", tmp_path / "study.toml"]
    done("generate", database, "--n", 4, *space, *model, "--store", "outlines")
    done("verify", database, *model)
    done("index", database)
    (best, *_) = json.loads(done("query", database, *scans, "-k", 2, "--json"))["matches"]
    assert best["ratio"] in (5, 10) and 1e-4 <= best["death"] <= 5e-3
    done(
        "invert", database, "--t1", coarse / "t1.nii", *scans, "-o", out, *model,
        "--fit", "death", "--refine",
    )  # fmt: skip
    result = json.loads((out / "result.json").read_text())
    assert result["answer"]["source"] == "refined growth"
    (growth,) = result["answer"]["growths"]
    assert 5 <= growth["ratio"] <= 10 and growth["crowding"] in (1, 2)
    net = (growth["rho"] - growth["death"]) * growth["days"]
    np.testing.assert_allclose(growth["net_t"], net)
    assert set(result["uncertainty"]["fitted"]) == {"ratio", "death", "crowding"}
    report = (out / "report.html").read_text()
    for told in ("cells that die μ", "1/day", "net e-foldings νT", "white over grey"):
        assert told in report
