"""Searches a network as section 4 of the paper does, in the MnasNet space by ACC x (FLOPS/T)^w.

python main.py search-architecture --config=configs/search_digits.py --candidates=52 \\
    --population=12 --sample=6 --target_multiply_adds=5e6 --output_dir=runs/search

Each candidate is trained by the configuration on its own; its epochs are the budget. Started again
with the same flags, or with more candidates, it goes on where it was. It writes results.jsonl,
best.txt (a flag for main.py), pareto.png and pareto.svg. Such a short training, a proxy, ranks what
learns fast on its task: a winner on digits in five epochs is no winner on ImageNet. Exit code 0:
done; 1: failed on the way; 2: wrong use; 130: stopped by a signal.
"""

from types import SimpleNamespace

from efficientnet_tf.commands.experiment_flags import take_experiment
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.commands.shared_flags import device, refuse_arguments, take_device
from efficientnet_tf.errors import UsageError
from efficientnet_tf.search import architecture_run
from efficientnet_tf.search.objective import PAPER_EXPONENT, PAPER_TARGET, Objective
from efficientnet_tf.search.searchers import SEARCHERS, make_searcher

RESUMABLE = LASTS = True
NEEDS = ("matplotlib", "scipy")


def take_flags(take: FlagGroups) -> None:
    take.text("output_dir", "runs/search_architecture", "folder written to and resumed from")
    take.choice("searcher", "evolution", SEARCHERS, "how networks are proposed")
    take.whole("candidates", 64, "number of networks to try", low=1)
    take.whole("seeds", 1, "number of trainings of each network", low=1)
    of = "fresh trainings of the best, the median random one, the baseline; 0: none"
    take.whole("confirm_seeds", 3, of, low=0)
    take.whole(
        "population", 16, "evolution: number of networks kept, all drawn at random at first", low=2
    )
    take.whole("sample", 8, "evolution: number of networks whose best is the next parent", low=1)
    take.whole("search_seed", 0, "seed of what is proposed", low=0)
    take.number(
        "target_multiply_adds", PAPER_TARGET, "T of the objective: multiply-adds of one image"
    )
    take.number("exponent", PAPER_EXPONENT, "w of the objective, an exponent")
    below = "w of networks below T, see search/objective.py; default: --exponent"
    take.number("exponent_below", None, below)
    take_device(take)
    take_experiment(take)


def objective_of(given: SimpleNamespace) -> Objective:
    try:
        return Objective(given.target_multiply_adds, given.exponent, given.exponent_below)
    except UsageError as error:
        raise UsageError(
            f"--target_multiply_adds, --exponent or --exponent_below: {error}"
        ) from error


def run(given: SimpleNamespace) -> None:
    refuse_arguments(given)
    objective = objective_of(given)
    searcher = make_searcher(
        given.searcher,
        architecture_run.space_of(given.config),
        given.search_seed,
        population=given.population,
        sample=given.sample,
    )
    architecture_run.search_and_report(
        given.config,
        searcher,
        objective,
        candidates=given.candidates,
        seeds=given.seeds,
        confirm_seeds=given.confirm_seeds,
        folder=given.output_dir,
        device=device(given),
    )
