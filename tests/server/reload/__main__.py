"""``python -m tests.server.reload --minutes 5``: the test of the reload promise for as long as you like."""

import argparse
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.server.reload.trial import run

#: After how many batches a new repository is begun.
STEPS = 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.server.reload", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="the first one")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    end = time.monotonic() + 60 * arguments.minutes
    seed, failed = arguments.seed, 0
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory(prefix="bcfg2-reload-") as folder:
            try:
                answers = run(Path(folder), seed, lambda steps: steps < STEPS)
            except AssertionError as err:
                failed += 1
                print(f"FAILED {err}", flush=True)
            else:
                print(f"seed {seed}: {answers} answers, all right", flush=True)
        seed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
