"""The report's look: plain, readable, printable."""

CSS = """\
:root { color-scheme: light; }
body {
  font: 15px/1.45 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
  color: #1c1c1c; background: #fff; max-width: 64rem; margin: 1.5rem auto; padding: 0 1.25rem;
}
h1 { font-size: 1.5rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 {
  font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ccc; padding-bottom: .2rem;
}
table { border-collapse: collapse; margin: .5rem 0; font-size: .9rem; }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #888; }
th, td { padding: .2rem .9rem .2rem 0; vertical-align: top; }
td { border-bottom: 1px solid #eee; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.unknown, td.unknown { color: #767676; }
figure { margin: 1rem 0; break-inside: avoid; }
img { max-width: 100%; display: block; background: #000; }
figcaption { font-size: .85rem; color: #555; margin-top: .25rem; }
.status { padding: .6rem .9rem; border-left: 5px solid; margin: .5rem 0; }
.status.good { border-color: #2e7d32; background: #eef6ee; }
.status.bad { border-color: #b71c1c; background: #fdecec; font-size: 1.15rem; }
.warning { padding: .4rem .9rem; border-left: 5px solid #c77700; background: #fff6e5; }
.notice { padding: .4rem .9rem; border-left: 5px solid #888; background: #f4f4f4; }
.warning ul, .notice ul { margin: .2rem 0; padding-left: 1.1rem; }
.small, .disclaimer { font-size: .85rem; color: #555; }
dl {
  display: grid; grid-template-columns: max-content 1fr;
  gap: .1rem .9rem; margin: .2rem 0; font-size: .85rem;
}
dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
dd > dl { font-size: 1em; }
@media print {
  body { font-size: 10.5pt; margin: 0; max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
