"""Draws what augmentation does to a photo, for a person to look at: two PNG files.

python main.py show-augmentation --output_dir=/tmp/augmentation --image=photo.jpg --bugs=fixed

`operations.png` has a row for each of the 16 operations and a column for each level: AutoAugment's
up to 10, RandAugment's 17 and 28; signs positive, Cutout in the middle. `policy.png` has
AutoAugment's 25 sub-policies, all their operations applied, signs drawn.
"""

from pathlib import Path
from types import SimpleNamespace

from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.commands.shared_flags import refuse_arguments

NEEDS = ("PIL", "sklearn")


def take_flags(take: FlagGroups) -> None:
    take.text("image", None, "image file; default: a photo of scikit-learn")
    take.text("output_dir", ".", "folder of the PNG files")
    take.whole("resolution", 224, "side of the images in pixels", low=32)
    take.choice(
        "bugs", "official", ("official", "fixed"), "the official code's errors, kept or repaired"
    )


def run(given: SimpleNamespace) -> None:
    refuse_arguments(given)
    from efficientnet_tf.machine.startup import start_tensorflow

    start_tensorflow()
    from efficientnet_tf.data.augment import sheets

    image, folder = sheets.photo(given.image, given.resolution), Path(given.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"operations": sheets.operations(image), "policy": sheets.policy(image, given.bugs)}
    for name, rows in drawn.items():
        sheets.sheet(rows).save(folder / f"{name}.png")
        print(f"Wrote {folder / name}.png")
