"""Epochs and examples to steps, in one place.

The official code keeps steps per epoch as a float and so do we: the schedule's periods are not
rounded; only counts of steps are.
"""


def steps_per_epoch(num_examples: int, global_batch_size: int) -> float:
    """Training steps in one pass over `num_examples`, as a float (625.57 for ImageNet at 2048)."""
    return num_examples / global_batch_size


def epochs_to_steps(epochs: float, num_examples: int, global_batch_size: int) -> int:
    """Whole steps in `epochs`, rounded down, at least one if `epochs` is positive."""
    if epochs <= 0:
        return 0
    return max(1, int(epochs * num_examples / global_batch_size))
