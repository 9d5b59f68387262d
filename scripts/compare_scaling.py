"""Compound scaling against depth, width and resolution alone at equal multiply-adds: Figure 8.

python scripts/draw_shapes.py --output_dir=runs/shapes
python scripts/compare_scaling.py --config=configs/shapes.py --ratio=2,4 --seeds=3

Each network is trained by the configuration; its epochs are the budget. Started again with the same
flags it goes on where it was. Writes results.jsonl, which `reproduce.py figure8 --results=` reads,
comparison.png and comparison.svg. Exit code 0: done; 1: failed on the way; 2: wrong use.
"""

import sys
from collections.abc import Sequence

from efficientnet_tf.commands import cli
from efficientnet_tf.models.compound import Coefficients
from efficientnet_tf.search import pareto, scaling_figure, scaling_flags, scaling_results
from efficientnet_tf.search import scaling_comparison as comparison
from efficientnet_tf.search.proxy import Proxy
from efficientnet_tf.search.scaling_baseline import Baseline
from efficientnet_tf.terminal.exit_codes import exit_code

_FLAGS: scaling_flags.Flags = (
    ("output_dir", "runs/compare_scaling", "where everything is written and resumed from"),
    ("ratio", "2,4", "multiply-adds, as ratios to the baseline's"),
    ("ratio_tolerance", str(comparison.RATIO_TOLERANCE), "of a true ratio, relative"),
    ("alpha", "1.2", "of compound scaling: depth"),
    ("beta", "1.1", "width"),
    ("gamma", "1.15", "resolution"),
    ("tolerance", "0.1", "of alpha * beta^2 * gamma^2 = 2"),
)


def run(argv: Sequence[str]) -> None:
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(scaling_flags.help_text(__doc__, _FLAGS))
        return
    arguments = scaling_flags.Arguments(argv, _FLAGS, cli.parse)
    classes = arguments.whole("classes") if arguments.given("classes") else None
    baseline = Baseline(arguments.config, classes)
    triple = [arguments.number(name) for name in ("alpha", "beta", "gamma", "tolerance")]
    entries = comparison.plan(
        baseline,
        arguments.numbers("ratio"),
        Coefficients(*triple),
        arguments.number("ratio_tolerance"),
    )
    print(f"{baseline.name} at {baseline.resolution} pixels, {baseline.classes} classes")
    if arguments.given("dry_run"):
        print(comparison.table(entries))
        return
    seeds, what = arguments.whole("seeds"), scaling_results.task_of(arguments.config)
    folder = arguments.text("output_dir")
    proxy_folder = f"{folder}/{scaling_results.PROXY}"
    with Proxy(arguments.config, proxy_folder, len(entries) * seeds, arguments.device) as proxy:

        def written() -> None:
            scaling_results.write(folder, comparison.result_rows(baseline, entries, what))

        comparison.train(proxy, baseline, entries, range(seeds), written)
    print(f"{what}:\n{comparison.table(entries)}\n")
    print("\n".join(comparison.outcome(entries)))
    figure = scaling_figure.draw_comparison(entries, baseline.name, what)
    paths = [f"{folder}/results.jsonl", *pareto.save(figure, folder, "comparison")]
    print(f"wrote {', '.join(paths)}")


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv), resumable=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
