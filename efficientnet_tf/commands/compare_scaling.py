"""Compares compound scaling with depth, width and resolution alone at equal cost: Figure 8.

python main.py draw-shapes --output_dir=runs/shapes
python main.py compare-scaling --config=configs/shapes.py --ratio=2,4 --seeds=3

All networks of a group cost as many multiply-adds. Each is trained by the configuration; its epochs
are the budget. Started again with the same flags the word goes on where it was. It writes
results.jsonl, which `main.py reproduce figure8 --results=` reads, comparison.png and
comparison.svg. Exit code 0: done; 1: failed on the way; 2: wrong use.
"""

from types import SimpleNamespace

from efficientnet_tf.commands import shared_flags
from efficientnet_tf.commands.experiment_flags import take_experiment
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.search import pareto, scaling_figure, scaling_results
from efficientnet_tf.search import scaling_comparison as comparison
from efficientnet_tf.search.proxy import Proxy
from efficientnet_tf.search.scaling_baseline import Baseline

RESUMABLE = LASTS = True
NEEDS = ("matplotlib", "scipy")


def take_flags(take: FlagGroups) -> None:
    shared_flags.take_trainings(take, "runs/compare_scaling")
    take.numbers("ratio", "2,4", "multiply-adds to compare at, as multiples of the baseline's")
    near = "how far, as a share, the true multiple may be from --ratio"
    take.number("ratio_tolerance", comparison.RATIO_TOLERANCE, near)
    shared_flags.take_coefficients(take)
    shared_flags.take_device(take)
    take_experiment(take)


def run(given: SimpleNamespace) -> None:
    shared_flags.refuse_arguments(given)
    config, folder = given.config, given.output_dir
    baseline = Baseline(config, given.classes)
    triple = shared_flags.coefficients(given)
    entries = comparison.plan(baseline, given.ratio, triple, given.ratio_tolerance)
    print(baseline)
    if given.dry_run:
        print(comparison.table(entries))
        return
    what = scaling_results.task_of(config)
    device = shared_flags.device(given)
    proxy_folder = f"{folder}/{scaling_results.PROXY}"
    with Proxy(config, proxy_folder, len(entries) * given.seeds, device) as proxy:

        def written() -> None:
            scaling_results.write(folder, comparison.result_rows(baseline, entries, what))

        comparison.train(proxy, baseline, entries, range(given.seeds), written)
    print(f"{what}:\n{comparison.table(entries)}\n")
    print("\n".join(comparison.outcome(entries)))
    figure = scaling_figure.draw_comparison(entries, baseline.name, what)
    paths = [f"{folder}/results.jsonl", *pareto.save(figure, folder, "comparison")]
    print(f"wrote {', '.join(paths)}")
