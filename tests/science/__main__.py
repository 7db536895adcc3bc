"""What the science must show, each by one command; minutes to an hour, and no test.

    python -m tests.science strict  --folder DIR --weights FILE [--share 1.0]
    python -m tests.science cells   --folder DIR --weights FILE [options of marrow sweep]
    python -m tests.science killed  --folder DIR

`FILE` is MobileNetV2's ImageNet state dict, real cells are read from MARROW_TEST_DATA. The
leakage table is `marrow audit --synthetic`; `tests/science/leakage.py` repeats it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tests.science.cells import cells
from tests.science.killed import killed
from tests.science.strict import strict


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.science", usage=__doc__)
    parser.add_argument("what", choices=("strict", "cells", "killed"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path("none"))
    parser.add_argument("--share", type=float, default=1.0)
    given, options = parser.parse_known_args()
    if given.what == "strict":
        strict(given.folder, given.weights, given.share)
    elif given.what == "cells":
        cells(given.folder, Path(os.environ["MARROW_TEST_DATA"]), given.weights, options)
    else:
        killed(given.folder)


if __name__ == "__main__":
    main()
