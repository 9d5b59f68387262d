"""Searches alpha, beta and gamma for a network, step 1 of the paper's section 4.

python main.py search-scaling --model=efficientnet-b0 --dry_run
python main.py draw-shapes --output_dir=runs/shapes
python main.py search-scaling --config=configs/shapes.py --output_dir=runs/coefficients

Every triple of the grid with alpha * beta^2 * gamma^2 near 2 is built and counted; those that
rounding moves too far from 2^phi are refused, the others trained by the configuration, whose epochs
are the budget. Started again with the same flags it goes on where it was. It writes results.jsonl,
scaling.png and scaling.svg. Exit code 0: done; 1: failed on the way; 2: wrong use.
"""

from types import SimpleNamespace

from efficientnet_tf.commands import shared_flags
from efficientnet_tf.commands.experiment_flags import take_experiment
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.search import grid as grid_lib
from efficientnet_tf.search import pareto, scaling_figure, scaling_results, scaling_search
from efficientnet_tf.search.proxy import Proxy
from efficientnet_tf.search.scaling_baseline import Baseline

RESUMABLE = LASTS = True
NEEDS = ("matplotlib", "scipy")


def take_flags(take: FlagGroups) -> None:
    shared_flags.take_trainings(take, "runs/search_scaling")
    take.number("phi", 1.0, "compound coefficient; 1, as in the paper, doubles multiply-adds")
    take.numbers("alphas", ",".join(map(str, grid_lib.ALPHAS)), "alphas to try: factors on depth")
    take.numbers("betas", ",".join(map(str, grid_lib.BETAS)), "betas to try: factors on width")
    take.numbers("gammas", ",".join(map(str, grid_lib.GAMMAS)), "gammas to try: on resolution")
    take.number("tolerance", grid_lib.TOLERANCE, "how far alpha * beta^2 * gamma^2 may be from 2")
    near = "how far, as a share, the true multiple may be from 2^phi"
    take.number("ratio_tolerance", grid_lib.RATIO_TOLERANCE, near)
    take.number(
        "max_multiply_adds", None, "most multiply-adds of one image (equation 1 of the paper)"
    )
    take.number("max_memory", None, "most bytes of float32 activations of one image (equation 1)")
    shared_flags.take_device(take)
    take_experiment(take)


def run(given: SimpleNamespace) -> None:
    shared_flags.refuse_arguments(given)
    config, folder = given.config, given.output_dir
    baseline = Baseline(config, given.classes)
    points = grid_lib.grid(
        baseline,
        grid_lib.triples(given.alphas, given.betas, given.gammas, given.tolerance),
        phi=given.phi,
        ratio_tolerance=given.ratio_tolerance,
        limits=grid_lib.Limits(given.max_multiply_adds, given.max_memory),
    )
    accepted = sum(not point.refused for point in points)
    print(f"{baseline}, phi {given.phi:g}: {accepted} of {len(points)} triples accepted")
    print(grid_lib.table(points), flush=True)
    if given.dry_run:
        return
    what = scaling_results.task_of(config)
    proxy_folder = f"{folder}/{scaling_results.PROXY}"
    with Proxy(config, proxy_folder, accepted * given.seeds, shared_flags.device(given)) as proxy:

        def written(scored: list[scaling_search.Scored]) -> None:
            rows = scaling_search.result_rows(baseline, scored, what)
            scaling_results.write(folder, rows)

        scored = scaling_search.search(proxy, baseline, points, range(given.seeds), written)
    print(f"\n{what}, best first:\n{scaling_search.table(scored)}\n")
    print("\n".join(scaling_search.outcome(scored)))
    figure = scaling_figure.draw_search(scored, points, given.phi, baseline.name, what)
    paths = [f"{folder}/results.jsonl", *pareto.save(figure, folder, "scaling")]
    print(f"wrote {', '.join(paths)}")
    best = scored[0].point.coefficients
    print(
        f"step 2: python main.py scale --model={config.model.name} "
        f"--alpha={best.alpha:g} --beta={best.beta:g} --gamma={best.gamma:g} --phi=2"
    )
