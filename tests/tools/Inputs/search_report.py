"""Is a report of --lossy what it should be? search_report.py REPORT.json [PAGE.html]

With --limit: prints a --max-error that the better of the places alone keeps, and the other does not.
"""

import html.parser
import json
import sys

if sys.argv[1] == "--limit":
    with open(sys.argv[2], encoding="utf-8") as f:
        alone = sorted(t["outputs"][0]["rel"] for t in json.load(f)["tried"] if t["what"] == "probe")
    print(f"--max-error=rel:{(2 * alone[0] + alone[1]) / 3}")
    sys.exit()

with open(sys.argv[1], encoding="utf-8") as f:
    report = json.load(f)
lossy, sites, tried = report["lossy"], report["sites"], report["tried"]
assert lossy["used"] <= 1 and lossy["judged_on"] == 2, lossy
assert all(len(t["levels"]) == len(sites) for t in tried)
last = [t for t in tried if t["what"] == "verdict"][-1]
assert [s["level"] for s in sites] == last["levels"] and last["used"] == lossy["used"], (sites, last)
assert {t["what"] for t in tried} == {"probe", "choice", "verdict"}
assert sum(s["saves"] for s in sites) == lossy["multiplications_exact"] - lossy["multiplications"]


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.circles, self.foreign = 0, []

    def handle_starttag(self, tag, attrs):
        self.circles += tag == "circle"
        self.foreign += [v for k, v in attrs if k in ("src", "href")]


for path in sys.argv[2:]:
    page = Page()
    with open(path, encoding="utf-8") as f:
        page.feed(f.read())
    assert page.circles == 2 * len(tried) and not page.foreign, (page.circles, page.foreign)
