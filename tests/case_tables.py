"""Tables of cohorts."""

GOOD = "id,t1,seg,labels\n"


def table(folder, text):
    path = folder / "cases.csv"
    path.write_text(text, encoding="utf-8")
    return path
