"""`make bench`: runs it, or reads an earlier run; prints the tables, writes JSON and a picture."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.bench import library, picture
from deploy.bench.cluster import ApiError, Cluster
from deploy.bench.counts import DEFAULT, Budget, counts, minutes
from deploy.bench.cycles import Bench
from deploy.bench.result import NotAResult, Result, from_text, to_text
from deploy.bench.run import Run, measure, result
from deploy.bench.table import comparison, table
from deploy.bench.usage import Product
from deploy.bench.watching import NotSeen

if TYPE_CHECKING:
    from argparse import Namespace

OUTPUT = Path("build/bench")


def options() -> Namespace:
    parser = argparse.ArgumentParser(prog="deploy.bench", description=__doc__)
    parser.add_argument("--count", type=int, default=DEFAULT, help="cycles, cold and bare each")
    parser.add_argument("--crowd", type=int, default=30, help="so many at once")
    parser.add_argument("--idle", type=float, default=30, help="seconds of idle CPU, twice")
    parser.add_argument("--baseline", type=Path, help="the JSON of an earlier run to compare with")
    parser.add_argument("--result", type=Path, help="show this run instead of a new one")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="a folder")
    found = parser.parse_args()
    if not 1 <= found.count <= 10_000 or not 1 <= found.crowd <= 90:
        parser.error("--count must be 1 to 10000, --crowd 1 to 90")
    return found


def read(path: Path) -> Result:
    try:
        return from_text(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, NotAResult) as error:
        sys.exit(f"bench: {path}: {error}")


def run(chosen: Namespace) -> tuple[Result, bool]:
    # A name of its own: two benches side by side would spoil the numbers, not each other's objects.
    cluster = Cluster(f"bench-{time.time_ns() // 10**6:x}", connections=20)
    begin = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begin:6.0f} s  {what}", file=sys.stderr, flush=True)

    cluster.ensure_namespace()
    try:
        cluster.wait_for_account()
        state = Run(
            Bench(cluster),
            Product(cluster),
            counts(chosen.count),
            Budget(minutes(chosen.count) * 60, time.monotonic),
            say,
            chosen.idle,
        )
        measure(state, chosen.crowd)
        return result(state, cluster.versions(state.node)), state.failed
    finally:
        cluster.clear()
        say("done")


def draw(found: Result, folder: Path) -> None:
    try:
        library.ensure()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"bench: no picture: matplotlib cannot be installed: {error}", file=sys.stderr)
        return
    picture.draw(found, [folder / "bench.svg", folder / "bench.png"])


def main() -> None:
    chosen = options()
    # Both are read before anything is measured: a wrong name must not cost 15 minutes.
    earlier = read(chosen.baseline) if chosen.baseline else None
    try:
        found, failed = (read(chosen.result), False) if chosen.result else run(chosen)
    except (NotSeen, ApiError) as error:
        sys.exit(f"bench: {error}")
    print(table(found))
    if earlier:
        print(f"\n{comparison(earlier, found)}")
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "result.json").write_text(to_text(found), encoding="utf-8")
    draw(found, chosen.output)
    print(f"\n{chosen.output}: result.json, bench.svg, bench.png")
    if failed:
        sys.exit("bench: a part of it ended early, see the notes")


if __name__ == "__main__":
    main()
