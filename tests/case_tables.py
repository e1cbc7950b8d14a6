"""Tables of cohorts, and files that they name."""

GOOD = "id,t1,seg,labels\n"


def table(folder, text):
    path = folder / "cases.csv"
    path.write_text(text, encoding="utf-8")
    return path


def unread_files(folder):
    """A folder with files that a table may name; no test of a table opens them."""
    for name in ("t1.nii.gz", "seg.nii.gz"):
        (folder / name).write_bytes(b"no image")
    return folder
