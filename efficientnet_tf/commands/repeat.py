"""Runs one training with several seeds, or several folds, and says the mean and the spread.

python main.py repeat --seeds=3 --model_dir=runs/three --config=configs/digits.py
python main.py repeat --folds=5 --model_dir=runs/five --config=configs/finetune.py --data_dir=DIR

A fold is another part of the images that is held out. All other flags are those of the word train
and go to each run, in model_dir/seed-0, ... or fold-0, ... . Started again it reads what is done
and goes on. It writes model_dir/summary.json. Exit code 0: done; 1: a run failed; 2: wrong use;
130: stopped by a signal.
"""

import os
import signal
from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import UsageError
from efficientnet_tf.runs import repeats
from efficientnet_tf.training.loop import ENDING

RESUMABLE = PASSES_ON = LASTS = True
_EACH = {"seeds": ("config.train.seed",), "folds": ("config.data.folds", "config.data.fold")}


def take_flags(take: FlagGroups) -> None:
    take.whole("seeds", None, "number of runs, each with a seed of its own", low=2)
    take.whole("folds", None, "number of runs, each with another part held out", low=2)
    take.text("model_dir", None, "the folder for all runs")


def run(given: SimpleNamespace) -> None:
    if (given.seeds is None) == (given.folds is None):
        raise UsageError("give one of --seeds=N and --folds=N, and then the flags of main.py.")
    kind = "seeds" if given.folds is None else "folds"
    if not given.model_dir:
        raise UsageError("give --model_dir=DIR, the folder for all runs.")
    for flag in given.arguments:
        name = flag.lstrip("-").partition("=")[0]
        if name == "mode":
            raise UsageError("--mode cannot be given: seeds are trained and tested, folds too.")
        if name in _EACH[kind]:
            raise UsageError(f"{flag} cannot be given: --{kind} sets it for each run.")
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)  # as Ctrl-C: the run saves and ends
    runs = repeats.seeds(given.seeds) if kind == "seeds" else repeats.folds(given.folds)
    results = repeats.run_all(
        runs, given.arguments, given.model_dir, lambda text: print(text, flush=True)
    )
    path = os.path.join(given.model_dir, repeats.SUMMARY)
    print(f"{repeats.spread(results)} -> {path}", flush=True)
    repeats.write_summary(path, results)
