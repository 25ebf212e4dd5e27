"""`python -m bench`: run the cases and write results/latest.md and results/latest.json beside this file."""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import cases, report
from bench.workspace import Tools


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark. The exit code is 1 if a budget was missed by more than the noise of this machine.

    What is not decided after `--minutes` is said to be so, and is no failure.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure devbox and hold it against its budgets."
    )
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds at least of each short case (default: 15)")
    parser.add_argument(
        "--minutes", type=float, default=20, help="how long cases may go on that are not decided (default: 20)"
    )
    parser.add_argument(
        "--large-tree", type=int, default=cases.LARGE_TREE, help="files of the large tree (default: 5000)"
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="where the results go")
    parser.add_argument("--no-builds", action="store_true", help="leave out the cases that build a tree")
    parser.add_argument("--publish", type=Path, metavar="FILE", help="also write a page with the ratios alone")
    arguments = parser.parse_args(argv)
    tools = Tools.on_path()
    options = cases.Options(
        rounds=arguments.rounds,
        until=time.monotonic() + 60 * arguments.minutes,
        large_tree=arguments.large_tree,
        builds=not arguments.no_builds,
    )

    facts = (*report.machine(), ("docker", tools.engine_version()), ("rounds", str(options.rounds)))
    results: list[report.Result] = []
    for result in cases.everything(tools, options, lambda text: print(f"bench: {text}", file=sys.stderr, flush=True)):
        results.append(result)
        arguments.output.mkdir(parents=True, exist_ok=True)
        # After every case, so that an interrupted run leaves what it measured.
        (arguments.output / "latest.md").write_text(report.markdown(results, facts), encoding="utf-8")
        (arguments.output / "latest.json").write_text(report.as_json(results, facts), encoding="utf-8")
    print(report.markdown(results, facts), end="")
    if arguments.publish is not None:
        where = (
            f"{len(os.sched_getaffinity(0))} cores at load {os.getloadavg()[2]:.0f}, docker {tools.engine_version()}"
        )
        arguments.publish.write_text(report.ratios(results, f"{datetime.now(UTC):%Y-%m-%d}", where), encoding="utf-8")
    return int(any(isinstance(one, report.Verdict) and one.state == "missed" for one in results))


if __name__ == "__main__":
    sys.exit(main())
