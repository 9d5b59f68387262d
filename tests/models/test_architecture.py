"""Networks as data: every block and every count against the official builders' (params.json)."""

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.operations import count
from efficientnet_tf.models.scaling import block_name
from efficientnet_tf.models.variants import VARIANTS, find_variant, make_architecture

GOLDEN = Path(__file__).parents[1] / "golden"
PARAMS = json.loads((GOLDEN / "params.json").read_text())
DROP_CONNECT = json.loads((GOLDEN / "drop_connect_and_l2.json").read_text())["drop_connect"]


def test_the_recorded_variants_are_the_ones_that_are_built():
    assert list(VARIANTS) == list(PARAMS)


@pytest.mark.parametrize("name", PARAMS)
def test_parameters_and_multiply_adds_are_exactly_the_recorded_ones(name):
    recorded = PARAMS[name]
    counts = count(make_architecture(name).operations(recorded["num_classes"]))
    assert counts.trainable_params == recorded["trainable_params"]
    assert counts.total_params == recorded["total_params"]
    assert counts.multiply_adds == recorded["multiply_adds"]


@pytest.mark.parametrize("name", PARAMS)
def test_every_block_is_the_recorded_one(name):
    recorded = PARAMS[name]["blocks"]
    blocks = make_architecture(name).blocks
    assert len(blocks) == len(recorded)
    for ours, theirs in zip(blocks, recorded, strict=True):
        assert ours.input_filters == theirs["input_filters"], ours.name
        assert ours.output_filters == theirs["output_filters"] == theirs["output_shape"][-1]
        assert ours.expanded_filters == theirs["expansion_output_shape"][-1], ours.name
        assert ours.expands is (theirs["expand_ratio"] != 1), ours.name
        assert ours.kernel_size == theirs["kernel_size"], ours.name
        assert list(ours.strides) == theirs["strides"], ours.name
        assert ours.se_filters == (theirs["se_filters"] or 0), ours.name
        assert ours.fused is (theirs["conv_type"] == 1), ours.name


@pytest.mark.parametrize("name", PARAMS)
def test_every_stage_is_the_recorded_one(name):
    stages: dict[int, list] = {}
    for block in make_architecture(name).blocks:
        stages.setdefault(int(re.fullmatch(r"block(\d+)[a-z]+", block.name)[1]), []).append(block)
    recorded = PARAMS[name]["stages"]
    assert list(stages) == list(range(1, len(recorded) + 1))
    for blocks, theirs in zip(stages.values(), recorded, strict=True):
        assert len(blocks) == theirs["num_repeat"]
        assert blocks[0].input_filters == theirs["input_filters"]
        assert {block.output_filters for block in blocks} == {theirs["output_filters"]}
        assert list(blocks[0].strides) == theirs["strides"]
        assert all(block.strides == (1, 1) for block in blocks[1:])


@pytest.mark.parametrize("name", PARAMS)
def test_stem_head_resolution_input_and_dropout_are_the_recorded_ones(name):
    recorded = PARAMS[name]
    architecture, variant = make_architecture(name), find_variant(name)
    assert architecture.name == name
    assert architecture.stem_filters == recorded["stem_filters"]
    assert architecture.head_filters == recorded["head_filters"]
    assert architecture.resolution == recorded["image_size"]
    assert architecture.activation == recorded["relu_fn"]
    assert list(architecture.mean) == pytest.approx(recorded["mean_rgb"])
    assert list(architecture.std) == pytest.approx(recorded["stddev_rgb"])
    assert variant.classes == recorded["num_classes"]
    width, depth, resolution, dropout = recorded["params_table"]
    assert (variant.width_coefficient, variant.depth_coefficient) == (width, depth)
    assert (architecture.resolution, architecture.dropout_rate) == (resolution, dropout)


@pytest.mark.parametrize("name", DROP_CONNECT)
def test_stochastic_depth_is_where_and_as_strong_as_recorded(name):
    recorded = DROP_CONNECT[name]
    blocks = make_architecture(name).blocks
    survival = [block.survival_prob for block in blocks]
    assert survival == pytest.approx(recorded["survival_prob_per_block"], rel=1e-15)
    applied = [
        index
        for index, block in enumerate(blocks)
        if block.has_residual and block.survival_prob < 1
    ]
    assert applied == recorded["blocks_that_apply_it"]


@pytest.mark.parametrize("name", PARAMS)
def test_blocks_that_keep_shape_have_a_residual(name):
    """Official rule: id_skip, no stride, equal depth; the declared depth decides in fused ones."""
    recorded = PARAMS[name]
    real = recorded["stem_filters"]
    for block, theirs in zip(make_architecture(name).blocks, recorded["blocks"], strict=True):
        depth = theirs["input_filters"] if theirs["conv_type"] == 1 else real
        same = theirs["strides"] == [1, 1] and depth == theirs["output_filters"]
        assert block.has_residual is (theirs["id_skip"] and same), block.name
        real = theirs["output_filters"]


@pytest.mark.parametrize(
    ("stage", "repeat", "expected"),
    [(1, 0, "block1a"), (2, 25, "block2z"), (2, 26, "block2aa"), (3, 52, "block3ba")],
)
def test_blocks_are_lettered_within_their_stage(stage, repeat, expected):
    assert block_name(stage, repeat) == expected


def test_block_names_are_unique_and_in_order():
    names = [block.name for block in make_architecture("efficientnet-l2").blocks]
    assert len(set(names)) == len(names) == 88
    assert names[:6] == ["block1a", "block1b", "block1c", "block1d", "block1e", "block1f"]
    assert names[-1] == "block7f"


def test_names_are_found_in_any_case():
    assert make_architecture("EfficientNet-EDGETPU-s").name == "efficientnet-edgetpu-S"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("efficientnet-b00", 'Did you mean "efficientnet-b0"'),
        ("efficientnet_lite3", 'Did you mean "efficientnet-lite3"'),
        ("efficientnet-edgetpu-xl", '"efficientnet-edgetpu-L"'),
    ],
)
def test_an_unknown_name_offers_the_nearest(name, hint):
    with pytest.raises(UsageError) as error:
        make_architecture(name)
    message = str(error.value)
    assert message.startswith(f'unknown model "{name}".')
    assert hint in message
    assert message.endswith("`python main.py --list_models` lists all.")


def test_a_coefficient_takes_the_place_of_the_variants():
    changed = make_architecture("efficientnet-b0", width_coefficient=1.4, depth_coefficient=1.8)
    b4 = make_architecture("efficientnet-b4")
    assert changed.blocks == b4.blocks
    assert (changed.stem_filters, changed.head_filters) == (b4.stem_filters, b4.head_filters)
    assert (changed.resolution, changed.dropout_rate) == (224, 0.2)


def test_the_other_values_can_be_changed_too():
    blocks_args = ["r2_k3_s22_e6_i32_o64", "r3_k5_s11_e4_i64_o64_se0.5_noskip"]
    changed = make_architecture(
        "efficientnet-b0",
        resolution=96,
        dropout_rate=0,
        survival_prob=0.5,
        blocks_args=blocks_args,
    )
    assert (changed.resolution, changed.dropout_rate) == (96, 0.0)
    names = [block.name for block in changed.blocks]
    assert names == ["block1a", "block1b", "block2a", "block2b", "block2c"]
    assert [block.has_residual for block in changed.blocks] == [False, True, False, False, False]
    assert [block.se_filters for block in changed.blocks] == [0, 0, 32, 32, 32]
    assert [block.survival_prob for block in changed.blocks] == pytest.approx(
        [1.0, 0.9, 0.8, 0.7, 0.6]
    )


def test_stochastic_depth_can_be_switched_off():
    blocks = make_architecture("efficientnet-b0", survival_prob=1).blocks
    assert {block.survival_prob for block in blocks} == {1.0}


def test_the_first_lite_stage_keeps_its_repeats_and_the_stem_its_filters():
    scaled = make_architecture("efficientnet-lite0", width_coefficient=2.0, depth_coefficient=2.0)
    assert (scaled.stem_filters, scaled.head_filters) == (32, 1280)
    names = [block.name for block in scaled.blocks]
    assert sum(name.startswith("block1") for name in names) == 1
    assert sum(name.startswith("block2") for name in names) == 4
    assert sum(name.startswith("block7") for name in names) == 1
    assert scaled.blocks[0].output_filters == 32  # 16, scaled


@pytest.mark.parametrize(
    ("first_stage", "has_residual"),
    [
        ("r1_k3_s11_e4_i32_o32", True),
        ("r1_k3_s11_e4_i24_o32", True),  # the stem has 32: MBConv looks at what arrives
        ("r1_k3_s11_e4_i32_o32_c1", True),
        ("r1_k3_s11_e4_i24_o32_c1", False),  # a fused block looks at what is declared
        ("r1_k3_s11_e4_i24_o24_c1", False),  # official: cannot be built, 32 + 24 channels
        ("r1_k3_s11_e4_i32_o32_c1_noskip", False),
        ("r1_k3_s12_e4_i32_o32", False),
    ],
)
def test_a_residual_needs_equal_filters(first_stage, has_residual):
    network = make_architecture("efficientnet-b0", blocks_args=[first_stage])
    assert network.blocks[0].has_residual is has_residual


def test_squeezed_filters_are_at_least_one():
    tiny = make_architecture("efficientnet-b0", blocks_args=["r1_k3_s11_e1_i8_o8_se0.01"])
    assert tiny.blocks[0].se_filters == 1


def test_an_architecture_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_architecture("efficientnet-b0").resolution = 1


def test_a_count_changes_with_the_classes_alone():
    b0 = make_architecture("efficientnet-b0")
    thousand, ten = count(b0.operations(1000)), count(b0.operations(10))
    assert thousand.trainable_params - ten.trainable_params == 990 * (1280 + 1)
    assert thousand.total_params - ten.total_params == 990 * (1280 + 1)
    assert thousand.multiply_adds - ten.multiply_adds == 990 * 1280


def test_odd_sides_are_halved_upwards():
    """SAME padding: 5 pixels at stride 2 are 3 positions."""
    blocks_args = ["r1_k3_s11_e1_i32_o16"]
    network = make_architecture("efficientnet-b0", resolution=5, blocks_args=blocks_args)
    per_position = 27 * 32 + 9 * 32 + 32 * 16 + 16 * 1280
    assert count(network.operations(7)).multiply_adds == 9 * per_position + 1280 * 7


BAD = [
    ("width_coefficient", 0, "must be a positive number, received 0."),
    ("depth_coefficient", math.nan, "must be a positive number, received nan."),
    ("resolution", 0, "must be a whole number of pixels, at least 1, received 0."),
    ("resolution", 224.0, "must be a whole number of pixels, at least 1, received 224.0."),
    ("resolution", True, "must be a whole number of pixels, at least 1, received True."),
    ("dropout_rate", 1.0, "must lie in [0, 1), received 1.0."),
    ("dropout_rate", -0.1, "must lie in [0, 1), received -0.1."),
    ("dropout_rate", math.nan, "must lie in [0, 1), received nan."),
    ("dropout_rate", False, "must lie in [0, 1), received False."),
    ("survival_prob", 0, "must lie in (0, 1], received 0."),
    ("survival_prob", 1.1, "must lie in (0, 1], received 1.1."),
    ("survival_prob", "0.8", "must lie in (0, 1], received '0.8'."),
]


@pytest.mark.parametrize(("argument", "value", "message"), BAD)
def test_values_out_of_range_are_refused(argument, value, message):
    with pytest.raises(UsageError) as error:
        make_architecture("efficientnet-b0", **{argument: value})
    assert str(error.value) == f"{argument} {message}"


def test_bad_block_strings_are_refused():
    with pytest.raises(UsageError, match='block string "r1".* is missing'):
        make_architecture("efficientnet-b0", blocks_args=["r1"])
