"""What a layer is made of: the layers inside it, and its own weights.

The only private names of Keras in this package are here, because nothing public says the same:

- `Layer._flatten_layers`: `Model.layers` lists the layers of a model, but not those of a layer.
- `Layer._trainable_variables`: `trainable_weights` is empty once a layer is frozen.
"""

from typing import Any

import keras


def inner_layers(operation: Any) -> list[Any]:
    """All layers inside a layer, however deep."""
    is_layer = isinstance(operation, keras.Layer)
    return operation._flatten_layers(include_self=False) if is_layer else []


def own_weights(operation: Any) -> list[tuple[Any, bool]]:
    """(weight, whether training changes it) of a layer, without those of the layers inside it."""
    if not isinstance(operation, keras.Layer):
        return []
    inside = {id(weight) for layer in inner_layers(operation) for weight in layer.weights}
    trainable = {id(weight) for weight in operation._trainable_variables}
    return [
        (weight, id(weight) in trainable)
        for weight in operation.weights  # without the state of random numbers
        if id(weight) not in inside
    ]
