"""Patients with two scans through a whole cohort: rates, forecast and treatments."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
from case_tables import table
from command_line import run
from scipy import ndimage

from glioquery.pipeline.names import SUMMARY_TABLE
from glioquery.pipeline.results.result_folder import RESULT_FILE

DRUG = '[[treatment]]\nkind = "drug"\nday = 20\nrate = 0.002\nhalf_life_days = 40\n'
HEAD = "id,t1,seg,labels,day,forecast,treatments\n"


@pytest.mark.slow
def test_two_scans_a_forecast_and_a_drug_in_a_table(near, coarse, tmp_path, capsys):
    seg = nib.load(coarse / "seg.nii")
    labels = np.asarray(seg.dataobj)
    larger = np.where(ndimage.binary_dilation(labels == 4), 4, labels)
    larger = np.where((larger == 0) & ndimage.binary_dilation(labels > 0), 2, larger)
    nib.save(nib.Nifti1Image(larger.astype(np.uint8), seg.affine), tmp_path / "later.nii")
    (tmp_path / "done.toml").write_text(DRUG)
    rows = ""
    for name, treated in (("plain", ""), ("treated", "done.toml")):
        rows += f"{name},{coarse}/t1.nii,{tmp_path}/later.nii,brats2021,60,30,{treated}\n"
        rows += f"{name},{coarse}/t1.nii,{coarse}/seg.nii,brats2021,0,,\n"
    cases, out = table(tmp_path, HEAD + rows), tmp_path / "out"
    code, _, err = run(capsys, "cohort", near.path, cases, "-o", out)
    assert code == 0, err
    told = {}
    for name in ("plain", "treated"):
        folder = out / f"sub-{name}"
        told[name] = json.loads((folder / RESULT_FILE).read_text())["outlook"]
        (day,) = told[name]["forecast"]
        assert day["day"] == 90 and day["whole_ml"]["value"] > 0
        assert list(folder.glob("*_desc-day90_density.nii.gz"))
    assert told["plain"]["treatments"] == []
    assert [one["kind"] for one in told["treated"]["treatments"]] == ["drug"]
    # The cells that the drug killed have to grow as well.
    with (out / SUMMARY_TABLE).open(newline="") as file:
        rho = {row["id"]: float(row["rho"]) for row in csv.DictReader(file)}
    assert rho["treated"] > 1.02 * rho["plain"]
    before = {path: path.stat().st_mtime_ns for path in out.glob(f"*/{RESULT_FILE}")}
    for rate, expected in (("0.002", []), ("0.003", ["sub-treated"])):
        (tmp_path / "done.toml").write_text(DRUG.replace("0.002", rate))
        code, _, err = run(capsys, "cohort", near.path, cases, "-o", out)
        assert code == 0, err
        made_again = [p.parent.name for p, at in before.items() if p.stat().st_mtime_ns != at]
        assert made_again == expected
