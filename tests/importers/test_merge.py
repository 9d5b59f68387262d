"""The strict merge: all weights or none, and a message that shows the differences both ways."""

import hashlib

import keras
import numpy as np
import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.importers.merge import Receipt, merge


def make_model():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    x = keras.layers.Dense(4, name="one")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="two")(x), name="small")


def source_of(model, seed=0):
    """(path -> name, name -> array) that fit the model."""
    random = np.random.default_rng(seed)
    names = {weight.path: f"old/{weight.path}" for weight in model.weights}
    values = {
        f"old/{weight.path}": random.standard_normal(weight.shape).astype(np.float32)
        for weight in model.weights
    }
    return names, values


def merge_from(model, names, values, **kwargs):
    shapes = {name: value.shape for name, value in values.items()}
    return merge(model, names, shapes, values.__getitem__, source="file.ckpt", **kwargs)


def refused(model, names, values):
    """The message, after a check that the model is untouched."""
    before = model.get_weights()
    with pytest.raises(UsageError) as error:
        merge_from(model, names, values)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    return str(error.value)


def test_every_weight_arrives_moving_statistics_too():
    model = make_model()
    names, values = source_of(model)
    merge_from(model, names, values)
    assert len(model.weights) == 8
    for weight in model.weights:
        np.testing.assert_array_equal(weight.numpy(), values[names[weight.path]])


def test_the_receipt_says_what_went_where():
    model = make_model()
    names, values = source_of(model)
    receipt = merge_from(model, names, values, ignored=["step", "old/momentum"])
    digest = hashlib.sha256(b"".join(values[name].tobytes() for name in names.values()))
    assert receipt == Receipt(
        source="file.ckpt",
        matched=tuple((name, path) for path, name in names.items()),
        unmatched_source=(),
        ignored_source=("old/momentum", "step"),
        checksum=digest.hexdigest(),
    )
    assert str(receipt) == (
        "8 weights read from file.ckpt, 0 left over, 2 ignored (optimizer slots, counters, twins); "
        f"sha256 {digest.hexdigest()[:16]}"
    )


def test_the_checksum_tells_contents_apart():
    model = make_model()
    names, values = source_of(model)
    first = merge_from(model, names, values).checksum
    assert merge_from(model, names, values).checksum == first
    values[names["two/bias"]][1] += 1e-3
    assert merge_from(model, names, values).checksum != first


def test_a_missing_weight_is_refused():
    model = make_model()
    names, values = source_of(model)
    del values["old/two/kernel"]
    assert refused(model, names, values) == (
        'file.ckpt does not fit model "small"; nothing was loaded.\n'
        "1 variables of the model are not in it:\n"
        "  two/kernel (4, 2): no old/two/kernel\n"
        "Build the model the checkpoint was made with: same name, coefficients and classes."
    )


def test_another_shape_is_refused_even_if_it_holds_as_many_numbers():
    model = make_model()
    names, values = source_of(model)
    values["old/one/kernel"] = values["old/one/kernel"].reshape(4, 3)
    message = refused(model, names, values)
    assert "1 shapes differ:\n  one/kernel (3, 4): old/one/kernel has (4, 3)\n" in message


def test_a_weight_without_a_place_is_refused():
    model = make_model()
    names, values = source_of(model)
    values["old/three/kernel"] = np.zeros((2, 2), np.float32)
    message = refused(model, names, values)
    assert "1 of its weights have no place:\n  old/three/kernel\n" in message


def test_differences_of_all_kinds_are_shown_together():
    model = make_model()
    names, values = source_of(model)
    del values["old/one/bias"]
    values["old/two/bias"] = np.zeros(3, np.float32)
    values["old/one/offset"] = np.zeros(4, np.float32)
    message = refused(model, names, values)
    parts = ["one/bias (4,): no old/one/bias", "two/bias (2,): old/two/bias has (3,)"]
    parts.append("old/one/offset")
    positions = [message.index(f"\n  {part}\n") for part in parts]
    assert positions == sorted(positions)


def test_long_lists_are_cut():
    model = make_model()
    names, _ = source_of(model)
    values = {f"other/{number:02}": np.zeros(1, np.float32) for number in range(11)}
    message = refused(model, names, values)
    assert "8 variables of the model are not in it:" in message
    assert "11 of its weights have no place:" in message
    assert "\n  other/07\n  and 3 more\n" in message
    assert "other/08" not in message


def test_a_source_that_fails_half_way_changes_nothing():
    model = make_model()
    names, values = source_of(model)
    shapes = {name: value.shape for name, value in values.items()}
    before = model.get_weights()

    def read(name):
        if name == "old/two/bias":
            raise OSError("disk on fire")
        return values[name]

    with pytest.raises(OSError, match="disk on fire"):
        merge(model, names, shapes, read, source="file.ckpt")
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
