"""Says what is right and wrong with this machine for an experiment, and what to do about it.

python scripts/doctor.py --tpu=local --model=efficientnet-b4 --data_dir=gs://... --model_dir=gs://...
python scripts/doctor.py --config=configs/digits.py --quick

Flags are those of main.py, and --quick: images of 64 pixels, a shorter look at the input.
Exit code 0: fine (there may be warnings). 1: something is wrong. 2: wrong use.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

# A machine on which nothing is installed yet is the first one to be examined.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.machine import chips, packages, tpu
from efficientnet_tf.machine.device import Device
from efficientnet_tf.machine.findings import Finding, advice, bad, is_bad, line

_QUICK = "--quick"


def examine(argv: list[str]) -> Iterator[Finding]:
    """All findings; imports more only when what is known so far allows it."""
    wanted = [argument.removeprefix("--tpu=") for argument in argv if argument[:6] == "--tpu="]
    found = tpu.findings(wanted[-1] if wanted else None)
    yield from found
    there = packages.installed()
    if not there.tensorflows or packages.known_bad(there, only_aborting=True):
        return
    try:
        from efficientnet_tf.commands import cli
    except ImportError as error:
        yield bad("packages", str(error), "pip install . (on a TPU machine: --no-deps)")
        return
    values, config = cli.parse([argument for argument in argv if argument != _QUICK])
    chips.spare_metadata_lookups()
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.doctor import checks

    model_dir = values.model_dir or cli.default_model_dir(values, config)
    device = Device(values.tpu, values.tpu_zone, values.tpu_project)
    yield from checks.examine(config, model_dir, device, quick=_QUICK in argv)


def main(argv: list[str]) -> int:
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(__doc__)
        return 0
    found = []
    try:
        for finding in examine(argv):
            found.append(finding)
            print(line(finding), flush=True)
    except (UsageError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    print(advice(found) or "Nothing to do: all is well.")
    return 1 if is_bad(found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
