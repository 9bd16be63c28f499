"""The stores that the conformance scripts start: each is a program in `stores/` that prints what it is as one line of JSON."""

import json
import sys
from pathlib import Path

from processes import Children, wait_for

STORES = Path(__file__).resolve().parent / "stores"


class Store:
    """A store that runs: `described` is its endpoint, region and users."""

    def __init__(self, children: Children, which, home: Path):
        if Path(which).is_file():
            self.described = json.loads(Path(which).read_text())
            return
        program = STORES / which
        if not program.is_file():
            sys.exit(f"no such store: {which}; there are {', '.join(sorted(one.name for one in STORES.iterdir()))}")
        home.mkdir(parents=True, exist_ok=True)
        said = home / "described.json"
        with open(said, "wb") as output, open(home / "log", "ab") as log:
            # It ends with this process, whose end of the pipe closes then.
            child = children.start(program, home / "data", stdin=-1, stdout=output, stderr=log)
        # Installing it the first time takes a while.
        wait_for(which, lambda: said.read_text().endswith("\n"), 1800, [child])
        self.described = json.loads(said.read_text())
