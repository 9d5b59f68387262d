"""One training several times: other seeds, or other folds of its images held out; mean and spread.

python scripts/repeat.py --seeds=3 --model_dir=runs/three --config=configs/digits.py
python scripts/repeat.py --folds=5 --model_dir=runs/five --config=configs/finetune.py --data_dir=DIR

All other flags are those of main.py and go to each run, in model_dir/seed-0, ... or fold-0, ... .
Started again it reads what is done and goes on. Writes model_dir/summary.json. Exit code 0: done;
1: a run failed; 2: wrong use; 130: stopped by a signal.
"""

import os
import signal
import sys
from collections.abc import Sequence

from efficientnet_tf.errors import UsageError
from efficientnet_tf.runs import repeats
from efficientnet_tf.terminal.exit_codes import asks_for_help, exit_code

_OWN = ("seeds", "folds", "model_dir")
_EACH = {"seeds": ("config.train.seed",), "folds": ("config.data.folds", "config.data.fold")}


def run(argv: Sequence[str]) -> None:
    if asks_for_help(argv):
        print(__doc__)
        return
    own, flags = {}, []
    for argument in argv[1:]:
        name, _, value = argument.lstrip("-").partition("=")
        if name in _OWN:
            own[name] = value
        elif name == "mode":
            raise UsageError("--mode cannot be given: seeds are trained and tested, folds too.")
        else:
            flags.append(argument)
    if ("seeds" in own) == ("folds" in own):
        raise UsageError("give one of --seeds=N and --folds=N, and then the flags of main.py.")
    kind = "seeds" if "seeds" in own else "folds"
    if not own[kind].isdigit() or int(own[kind]) < 2:
        raise UsageError(
            f'--{kind}=N must be a whole number of at least 2, received "{own[kind]}".'
        )
    if not own.get("model_dir"):
        raise UsageError("give --model_dir=DIR, the folder for all runs.")
    for flag in flags:
        if flag.lstrip("-").partition("=")[0] in _EACH[kind]:
            raise UsageError(f"{flag} cannot be given: --{kind} sets it for each run.")
    runs = (repeats.seeds if kind == "seeds" else repeats.folds)(int(own[kind]))
    results = repeats.run_all(runs, flags, own["model_dir"], lambda text: print(text, flush=True))
    path = os.path.join(own["model_dir"], repeats.SUMMARY)
    repeats.write_summary(path, results)
    print(f"{repeats.spread(results)} -> {path}")


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv), resumable=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the run saves and ends
    sys.exit(main(sys.argv))
