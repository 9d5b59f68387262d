"""Searches alpha, beta and gamma for a network, step 1 of the paper's section 4.

python scripts/search_scaling.py --network=efficientnet-b0 --dry_run
python scripts/draw_shapes.py --output_dir=runs/shapes
python scripts/search_scaling.py --config=configs/shapes.py --output_dir=runs/coefficients

Every triple of the grid with alpha * beta^2 * gamma^2 near 2 is built and counted; those that
rounding moves too far from 2^phi are refused, the others trained by the configuration, whose epochs
are the budget. Started again with the same flags it goes on where it was. Writes results.jsonl,
scaling.png and scaling.svg. Exit code 0: done; 1: failed on the way; 2: wrong use.
"""

import sys
from collections.abc import Sequence

from efficientnet_tf.commands import cli
from efficientnet_tf.search import grid as grid_lib
from efficientnet_tf.search import (
    pareto,
    scaling_figure,
    scaling_flags,
    scaling_results,
    scaling_search,
)
from efficientnet_tf.search.proxy import Proxy
from efficientnet_tf.search.scaling_baseline import Baseline
from efficientnet_tf.terminal.exit_codes import exit_code

_FLAGS: scaling_flags.Flags = (
    ("output_dir", "runs/search_scaling", "where everything is written and resumed from"),
    ("phi", "1", "the paper's step 1 has 1: twice the multiply-adds"),
    ("alphas", ",".join(map(str, grid_lib.ALPHAS)), "depth for each step of phi"),
    ("betas", ",".join(map(str, grid_lib.BETAS)), "width"),
    ("gammas", ",".join(map(str, grid_lib.GAMMAS)), "resolution"),
    ("tolerance", str(grid_lib.TOLERANCE), "of alpha * beta^2 * gamma^2 = 2"),
    ("ratio_tolerance", str(grid_lib.RATIO_TOLERANCE), "of the true ratio to 2^phi, relative"),
    ("max_multiply_adds", None, "of one image (equation 1)"),
    ("max_memory", None, "bytes of float32 activations of one image (equation 1)"),
)


def limit(arguments: scaling_flags.Arguments, name: str) -> float | None:
    return arguments.number(name) if arguments.given(name) else None


def run(argv: Sequence[str]) -> None:
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(scaling_flags.help_text(__doc__, _FLAGS))
        return
    arguments = scaling_flags.Arguments(argv, _FLAGS, cli.parse)
    classes = arguments.whole("classes") if arguments.given("classes") else None
    baseline = Baseline(arguments.config, classes)
    lists = [arguments.numbers(name) for name in ("alphas", "betas", "gammas")]
    phi, folder = arguments.number("phi"), arguments.text("output_dir")
    points = grid_lib.grid(
        baseline,
        grid_lib.triples(lists[0], lists[1], lists[2], arguments.number("tolerance")),
        phi=phi,
        ratio_tolerance=arguments.number("ratio_tolerance"),
        limits=grid_lib.Limits(
            limit(arguments, "max_multiply_adds"), limit(arguments, "max_memory")
        ),
    )
    accepted = sum(not point.refused for point in points)
    print(
        f"{baseline.name} at {baseline.resolution} pixels, {baseline.classes} classes, phi {phi:g}:"
        f" {accepted} of {len(points)} triples accepted"
    )
    print(grid_lib.table(points), flush=True)
    if arguments.given("dry_run"):
        return
    seeds, what = arguments.whole("seeds"), scaling_results.task_of(arguments.config)
    proxy_folder = f"{folder}/{scaling_results.PROXY}"
    with Proxy(arguments.config, proxy_folder, accepted * seeds, arguments.device) as proxy:

        def written(scored: list[scaling_search.Scored]) -> None:
            rows = scaling_search.result_rows(baseline, scored, what)
            scaling_results.write(folder, rows)

        scored = scaling_search.search(proxy, baseline, points, range(seeds), written)
    print(f"\n{what}, best first:\n{scaling_search.table(scored)}\n")
    print("\n".join(scaling_search.outcome(scored)))
    figure = scaling_figure.draw_search(scored, points, phi, baseline.name, what)
    paths = [f"{folder}/results.jsonl", *pareto.save(figure, folder, "scaling")]
    print(f"wrote {', '.join(paths)}")
    best = scored[0].point.coefficients
    print(
        f"step 2: python scripts/scale.py --network={arguments.config.model.name} "
        f"--alpha={best.alpha:g} --beta={best.beta:g} --gamma={best.gamma:g} --phi=2"
    )


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv), resumable=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
