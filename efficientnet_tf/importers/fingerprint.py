"""Which variant a set of weights is of, told by the shapes of its kernels."""

from collections import Counter
from collections.abc import Mapping

from efficientnet_tf.models.architecture import architecture_of
from efficientnet_tf.models.variants import VARIANTS, Variant


def kernel_shapes(variant: Variant) -> Counter[tuple[int, ...]]:
    """How often each shape of a convolution's kernel occurs in a variant, SE included."""
    shapes: Counter[tuple[int, ...]] = Counter()
    for one in architecture_of(variant).operations(variant.classes):
        if one.name != "predictions":
            shapes[
                (1, 1, *one.kernel_shape) if len(one.kernel_shape) == 2 else one.kernel_shape
            ] += 1
    return shapes


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The name of the variant whose kernels these are; None if it is none or not the only one.

    Args:
        shapes: name -> shape of all weights of a network in our layout; the classifier is not
            looked at.
    """
    kernels = Counter(shape for shape in shapes.values() if len(shape) == 4)
    found = [name for name, variant in VARIANTS.items() if kernel_shapes(variant) == kernels]
    return found[0] if len(found) == 1 else None
