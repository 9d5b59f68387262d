"""A user's own network: counted as it is built, scaled, and refused with a clear message."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.maker import Maker
from efficientnet_tf.models.networks import configured, find_network
from efficientnet_tf.models.operations import count
from efficientnet_tf.models.staged import Network, ScalableNetwork, Stage, StagedNetwork
from efficientnet_tf.models.variants import Variant

DOCS = Path(__file__).parents[2] / "docs" / "scaling.md"


def everything(make: Maker, inputs: Any, filters: int, strides: int, name: str) -> Any:
    """One of each that a maker has."""
    x = make.activate(inputs, "relu6", name=f"{name}_relu")
    x = make.norm(x, name=f"{name}_first_bn")  # of no convolution
    x = make.conv(x, filters, 5, padding=2, groups=1, use_bias=True, name=f"{name}_conv")
    x = make.norm(x, "swish", epsilon=1e-5, name=f"{name}_bn")
    x = make.depthwise(x, 3, strides, name=f"{name}_dwconv")
    x = make.squeeze_excite(x, 4, name=f"{name}_se")
    y = make.conv(x, filters, 1, groups=4, name=f"{name}_grouped_conv")
    x = make.add(x, y, name=f"{name}_add")
    return make.max_pool(x, 3, 1, padding=1, name=f"{name}_pool")


def network(**changes: Any) -> StagedNetwork:
    arguments = {"name": "own", "resolution": 32, "classes": 10, "dropout_rate": 0.1}
    stages = (Stage(everything, 1, 8, 2, deepens=False), Stage(everything, 2, 16, 2))
    return StagedNetwork(**{**arguments, "stages": stages, **changes})


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> str:
    """my_net.py of docs/scaling.md, as a user would copy it."""
    (code,) = re.findall(r"`my_net.py`:\n\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) < 30
    path = tmp_path_factory.mktemp("user") / "my_net.py"
    path.write_text(code)
    return f"{path}:NET"


@pytest.mark.parametrize("scaling", [{}, {"depth": 1.6, "width": 1.4, "resolution": 50}])
def test_what_is_counted_is_what_is_built(scaling: dict) -> None:
    scaled = network().scaled(**scaling)
    assert isinstance(network(), ScalableNetwork)
    assert isinstance(scaled, Network)
    model = scaled.build(classes=10)
    counts = count(scaled.operations(10))
    assert model.count_params() == counts.total_params
    trainable = sum(weight.numpy().size for weight in model.trainable_weights)
    assert trainable == counts.trainable_params
    by_name = {one.name: one for one in scaled.operations(10)}
    for layer in model.layers:
        if layer.name in by_name:
            assert layer.output.shape[1:] == by_name[layer.name].output_shape, layer.name


def test_the_example_of_the_docs_scales_and_builds(example: str) -> None:
    own = find_network(example)
    assert (own.name, own.resolution, own.classes) == ("my-net", 64, 10)
    unscaled = own.scaled()
    # By hand: a 3x3 convolution of 3 to 16 filters and two numbers a filter for its batch norm, ...
    stem = 27 * 16 + 2 * 16
    first = 2 * (2 * 9 * 16 * 16 + 4 * 16)
    second = 9 * 16 * 32 + 16 * 32 + 3 * 9 * 32 * 32 + 8 * 32
    third = 9 * 32 * 64 + 32 * 64 + 3 * 9 * 64 * 64 + 8 * 64
    assert count(unscaled.operations(10)).trainable_params == stem + first + second + third + 650
    bigger = own.scaled(depth=2, width=2, resolution=96)
    assert bigger.num_blocks == 1 + 4 + 4 + 4
    assert bigger.build(classes=3).output_shape == (None, 3)
    assert configured(example, width_coefficient=2.0).operations(10)[0].filters == 32


def test_block_strings_make_a_network_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "blocks.py"
    code = re.findall(
        r"```python\n(from efficientnet_tf.models.variants.*?)```", DOCS.read_text(), re.DOTALL
    )[0]
    path.write_text(code)
    own = find_network(f"{path}:SMALL")
    assert isinstance(own, Variant)
    assert own.scaled(depth=2).num_blocks == 6
    assert own.scaled().build(classes=4).input_shape == (None, 96, 96, 3)


def test_widths_may_be_fixed_or_only_widened() -> None:
    stages = tuple(
        Stage(
            lambda make, x, filters, strides, name: make.conv(x, filters, 1, name=name),
            1,
            16,
            width=width,
        )
        for width in ("scaled", "widened", "fixed")
    )
    filters = {
        width: [one.filters for one in network(stages=stages).scaled(width=width).operations(10)]
        for width in (0.5, 2.0)
    }
    assert filters == {0.5: [8, 16, 16, 10], 2.0: [32, 32, 16, 10]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, r"a network needs a name, received ''"),
        ({"resolution": 0}, r"network own: resolution must be a whole number of pixels"),
        ({"stages": ()}, r"network own needs at least one stage, received none"),
        ({"stages": ("conv",)}, r"network own, stage 1: expected a Stage\("),
        ({"stages": (Stage("conv", 1, 8),)}, r"stage 1: operator must be a function of \(make, x"),
        ({"stages": (Stage(everything, 0, 8),)}, r"stage 1: layers must be .* received 0"),
        ({"stages": (Stage(everything, 1, 8.0),)}, r"stage 1: channels must be .* received 8.0"),
        ({"stages": (Stage(everything, 1, 8, 0),)}, r"stage 1: strides must be .* received 0"),
        (
            {"stages": (Stage(everything, 1, 8, width="x"),)},
            r"width must be one of scaled, widened",
        ),
    ],
)
def test_what_a_network_lacks_is_said(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network(**changes)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"depth": 0}, r"depth must be a positive number, received 0"),
        ({"width": -1.0}, r"width must be a positive number, received -1.0"),
        ({"resolution": 2.5}, r"resolution must be a whole number of pixels"),
        (
            {"resolution": 3},
            r"resolution 3 is too small for own: its strides make one pixel of 4x4",
        ),
    ],
)
def test_wrong_scalings_are_refused(scaling: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network().scaled(**scaling)


def unsuitable(what: str) -> Any:
    def operator(make: Maker, x: Any, filters: int, strides: int, name: str) -> Any:
        y = make.conv(x, filters, 3, strides, name=f"{name}_conv")
        if what == "add":
            return make.add(x, y, name=f"{name}_add")
        if what == "groups":
            return make.conv(y, filters, 1, groups=3, name=f"{name}_grouped")
        if what == "window":
            return make.conv(y, filters, 99, padding=1, name=f"{name}_big")
        return make.conv(y, filters, 1, name=f"{name}_{type(make).__name__}")

    return operator


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("add", r"layer block1a_add: cannot add maps of shapes \(32, 32, 3\) and \(16, 16, 8\)"),
        ("groups", r"layer block1a_grouped: groups=3 must divide its 8 input channels"),
        ("window", r"layer block1a_big: a map of 16 pixels is smaller than the 99x99 window"),
        ("maker", r"an operator makes layer 'block1a_KerasMaker' for Keras alone"),
    ],
)
def test_operators_that_cannot_be_are_refused(what: str, message: str) -> None:
    own = network(stages=(Stage(unsuitable(what), 1, 8, 2),))
    with pytest.raises(UsageError, match=message):
        own.scaled().build(classes=10)


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        (None, "NET", r"no file"),
        ("NET = 1", "NET", r"NET lacks name, resolution, classes, scaled"),
        ("x = 1", "NET", r"NET is not in the file"),
        ("import nothing_like_this", "NET", r"the file cannot be used: ModuleNotFoundError"),
        (
            "class Net:\n    name = 'n'\n    resolution = 8\nNET = Net()",
            "NET",
            r"NET lacks classes, scaled",
        ),
    ],
)
def test_files_that_hold_no_network_are_refused(
    code: str | None, name: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.py"
    if code is not None:
        path.write_text(textwrap.dedent(code))
    with pytest.raises(UsageError, match=message):
        find_network(f"{path}:{name}")


def test_a_wrong_block_string_is_found_at_once() -> None:
    with pytest.raises(UsageError, match=r'block string "r1_k3": token "s"'):
        Variant("own", 1.0, 1.0, 64, 0.2, ("r1_k3",))
