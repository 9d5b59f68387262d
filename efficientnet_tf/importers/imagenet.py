"""weights="imagenet": Keras' own download of B0-B7, by Keras' own code, into our networks.

keras.applications fetches the file (its address, its name, its hash, kept in ~/.keras/models),
loads it into its model, and from there the weights and the numbers of the input normalisation are
read. So nothing of the download is ours, and nothing of it can grow old here.
"""

from typing import Any

from efficientnet_tf.errors import RunError, UsageError, on_one_line
from efficientnet_tf.importers import keras_names
from efficientnet_tf.importers.input_contract import apply_contract
from efficientnet_tf.importers.keras_applications import contract_of_layers
from efficientnet_tf.importers.merge import Receipt, merge
from efficientnet_tf.importers.weights_source import HEAD
from efficientnet_tf.models.variants import VARIANTS

CLASSES = 1000
_PUBLISHED = {f"efficientnet-b{index}": f"EfficientNetB{index}" for index in range(8)}


def load(model: Any, name: str | None = None, *, new_head: bool = False) -> Receipt:
    """Loads Keras' ImageNet weights into a model, all of it or nothing.

    A model without classifier takes Keras' smaller file without one.

    Args:
        model: made by `create_model`, with the published coefficients.
        name: what it was built as, "efficientnet-b0"; None for its Keras name.
        new_head: leave the model's classifier as it is.

    Returns:
        The receipt; the input normalisation of `model` is that of Keras' model.

    Raises:
        UsageError: Keras publishes no weights of this model or for this number of classes.
        RunError: they could not be fetched; the message says what to do.
    """
    name = (name or model.name).lower()
    if name not in _PUBLISHED:
        raise UsageError(
            f'weights="imagenet": nothing is published for {name} in Keras\' place, only for '
            "efficientnet-b0 to -b7. Import the official checkpoint: "
            f"python main.py import-weights --model={name} --from=FOLDER --output=OUT.safetensors, "
            'then give weights="OUT.safetensors".'
        )
    heads = [each for each in model.weights if each.path.startswith(HEAD)]
    classes = heads[0].shape[-1] if heads else CLASSES
    if classes != CLASSES and not new_head:
        raise UsageError(
            f'weights="imagenet" has {CLASSES} classes, the model {classes}. Build it with '
            f"classes={CLASSES}, or without classifier: include_top=False."
        )
    theirs = _fetched(name, include_top=bool(heads) and not new_head)
    stored = {
        f"{layer.name}/{weight.name}": weight for layer in theirs.layers for weight in layer.weights
    }
    of_input = [each for each in stored if each.startswith("normalization")]
    settings = [
        {"class_name": type(layer).__name__, "config": layer.get_config()}
        for layer in theirs.layers
    ]
    contract = contract_of_layers(
        settings,
        {each: stored[each].numpy() for each in of_input},
        VARIANTS[name].resolution,
    )
    names = keras_names.names(model)
    receipt = merge(
        model,
        {path: each for path, each in names.items() if not (new_head and path.startswith(HEAD))},
        {each: tuple(stored[each].shape) for each in stored if each not in of_input},
        lambda each: stored[each].numpy(),
        source=f'keras.applications.{_PUBLISHED[name]}(weights="imagenet")',
        ignored=of_input,
    )
    apply_contract(model, contract)
    return receipt


def _fetched(name: str, include_top: bool) -> Any:
    import keras

    constructor = getattr(keras.applications, _PUBLISHED[name])
    try:
        return constructor(weights="imagenet", include_top=include_top)
    except Exception as error:  # Keras raises a bare Exception without a network
        file = f"{_PUBLISHED[name].lower()}{'' if include_top else '_notop'}.h5"
        raise RunError(
            f'weights="imagenet": Keras could not fetch {file}: {on_one_line(error)}\n'
            "With a network the same call works. Without one, copy the file from a machine that "
            f"has it to ~/.keras/models/{file}, or import weights you have: python main.py "
            f"import-weights --model={name} --from=FILE --output=OUT.safetensors, then "
            'weights="OUT.safetensors".'
        ) from error
