"""Says what is right and wrong with this machine for an experiment, and what to do about it.

python main.py doctor --tpu=local --model=efficientnet-b4 --data_dir=gs://... --model_dir=gs://...
python main.py doctor --config=configs/digits.py --quick

It takes the flags of the word train (python main.py --help), and --quick, which takes images of 64
pixels and a shorter look at the input. Exit code 0: fine (there may be warnings). 1: something is
wrong. 2: wrong use.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from efficientnet_tf.machine import chips, packages, tpu
from efficientnet_tf.machine.findings import Finding, advice, bad, is_bad, line

if TYPE_CHECKING:
    from efficientnet_tf.commands.flag_groups import FlagGroups

# A machine on which nothing is installed yet is the first one to be examined.
READS_FLAGS = True


def take_flags(take: "FlagGroups") -> None:
    from efficientnet_tf.commands import train

    train.take_flags(take)
    take.switch("quick", False, "take images of 64 pixels and a shorter look at the input")


def examine(argv: Sequence[str]) -> Iterator[Finding]:
    """All findings; imports more only when what is known so far allows it."""
    wanted = [argument.removeprefix("--tpu=") for argument in argv if argument[:6] == "--tpu="]
    yield from tpu.findings(wanted[-1] if wanted else None)
    there = packages.installed()
    if not there.tensorflows or packages.known_bad(there, only_aborting=True):
        return
    try:
        from efficientnet_tf.commands import command_line, shared_flags
        from efficientnet_tf.commands.flag_groups import FlagGroups

        take = FlagGroups()
        take_flags(take)
    except ImportError as error:
        yield bad("packages", str(error), "pip install . (on a TPU machine: --no-deps)")
        return
    given = command_line.given_by(command_line.word_of("doctor"), take, argv)
    shared_flags.refuse_arguments(given)
    chips.spare_metadata_lookups()
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.doctor import checks

    model_dir = given.model_dir or given.default_model_dir
    device = shared_flags.device(given)
    yield from checks.examine(given.config, model_dir, device, quick=given.quick)


def run(argv: Sequence[str]) -> int:
    found = []
    for finding in examine(argv):
        found.append(finding)
        print(line(finding), flush=True)
    print(advice(found) or "Nothing to do: all is well.")
    return 1 if is_bad(found) else 0
