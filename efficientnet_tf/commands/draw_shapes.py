"""Draws the pictures of configs/shapes.py: ten shapes amid clutter, as a folder of class folders.

python main.py draw-shapes --output_dir=runs/shapes
"""

from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.commands.shared_flags import refuse_arguments
from efficientnet_tf.search import drawn_shapes

NEEDS = ("PIL",)


def take_flags(take: FlagGroups) -> None:
    take.text("output_dir", "runs/shapes", "folder to make, which must not be there yet")
    take.whole("train", 4000, "number of pictures to train on")
    take.whole("minival", 1000, "number of pictures to compare networks by")
    take.whole("test", 1000, "number of pictures to test on at the end")
    take.whole("seed", 0, "seed of all pictures", low=0)


def run(given: SimpleNamespace) -> None:
    refuse_arguments(given)
    counts = {"train": given.train, "minival": given.minival, "test": given.test}
    drawn_shapes.write(given.output_dir, counts, given.seed)
    print(f"wrote {sum(counts.values()):,} pictures to {given.output_dir}")
