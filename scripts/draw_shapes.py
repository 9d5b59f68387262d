"""Draws the pictures of configs/shapes.py: ten shapes amid clutter, as a folder of class folders.

python scripts/draw_shapes.py --output_dir=runs/shapes
"""

import sys
from collections.abc import Sequence

from absl import flags

from efficientnet_tf.errors import UsageError
from efficientnet_tf.search import drawn_shapes
from efficientnet_tf.terminal.exit_codes import exit_code

# (split, pictures, meaning)
_COUNTS = (
    ("train", 4000, "pictures to train on"),
    ("minival", 1000, "pictures to compare by"),
    ("test", 1000, "pictures kept for the end"),
)


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string(
        "output_dir", "runs/shapes", "made; must not be there yet", flag_values=values
    )
    for split, count, meaning in _COUNTS:
        flags.DEFINE_integer(split, count, meaning, flag_values=values)
    flags.DEFINE_integer("seed", 0, "of all pictures", lower_bound=0, flag_values=values)
    return values


def run(argv: Sequence[str]) -> None:
    values = define_flags()
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(__doc__, values.get_help(), sep="\n")
        return
    try:
        rest = values(argv)
    except flags.Error as error:
        raise UsageError(f"{error}. See --help.") from error
    if len(rest) > 1:
        raise UsageError(f'unexpected argument "{rest[1]}": everything is a flag, as --name=value.')
    counts = {split: int(values[split].value) for split, _, _ in _COUNTS}
    drawn_shapes.write(values["output_dir"].value, counts, values["seed"].value)
    print(f"wrote {sum(counts.values()):,} pictures to {values['output_dir'].value}")


def main(argv: Sequence[str]) -> int:
    return exit_code(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
