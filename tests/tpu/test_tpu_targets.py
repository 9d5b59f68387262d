"""Slices of TPUs: their names, sizes and peaks, and what binds a program on them."""

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.tpu.compiler import CompileReport, collectives, hbm_sizes
from efficientnet_tf.tpu.roofline import roofline
from efficientnet_tf.tpu.targets import CHIPS, GIB, SLICES, target


@pytest.mark.parametrize(
    ("name", "chips", "devices"),
    # Google's names count cores of v2 to v5p, chips of v5e and v6e; from v4 on a chip is a device.
    [
        ("v2-8", 4, 8),
        ("v3-8", 4, 8),
        ("v3-32", 16, 32),
        ("v4-8", 4, 4),
        ("v4-16", 8, 8),
        ("v5litepod-1", 1, 1),
        ("v5litepod-8", 8, 8),
        ("v5p-8", 4, 4),
        ("v6e-8", 8, 8),
    ],
)
def test_sizes(name: str, chips: int, devices: int) -> None:
    assert (target(name).chips, target(name).devices) == (chips, devices)


def test_v5e_goes_by_its_other_name_too() -> None:
    assert target("v5e-8") is target("v5litepod-8")


def test_unknown_slices_are_refused() -> None:
    with pytest.raises(UsageError, match='received "v5litepod-7".* Did you mean "v5litepod-'):
        target("v5litepod-7")
    with pytest.raises(UsageError, match="take the largest of its generation"):
        target("v3-2048")


def test_published_peaks() -> None:
    assert {name: chip.peak_flops / 1e12 for name, chip in CHIPS.items()} == {
        "v2": 45, "v3": 123, "v4": 275, "v5e": 197, "v5p": 459, "v6e": 918,
    }  # fmt: skip
    for each in SLICES.values():
        # What the compiler leaves a program is less than the chip has; v5p is said to have 95 GB.
        assert 0.9 < each.chip.usable * each.chip.devices * GIB / each.chip.hbm_bytes < 1.01


def report(flops: float, accessed: float) -> CompileReport:
    return CompileReport("f", "v3-8", "TPU v3", 8, 1.0, 1, 1, 1, 1, 1, 1, flops, accessed)


def test_memory_binds_below_the_ridge_and_arithmetic_above() -> None:
    chip = CHIPS["v5e"]
    low = roofline(report(100e9, 1e9), chip)
    assert (low.intensity, low.binds) == (100, "memory bandwidth")
    assert low.seconds == pytest.approx(1e9 / 819e9)
    high = roofline(report(1000e9, 1e9), chip)
    assert (high.intensity, high.binds) == (1000, "arithmetic")
    assert high.seconds == pytest.approx(1000e9 / 197e12)


def test_a_core_has_half_of_the_chip() -> None:
    one = roofline(report(100e9, 1e9), CHIPS["v3"])
    assert one.seconds == pytest.approx(1e9 / 450e9)


def test_collectives_are_counted_in_compiled_text() -> None:
    text = """
    %all-reduce.31 = (f32[3,3,3,32]{3,2,1,0:T(4,128)}, /*index=1*/bf16[2]{0}) all-reduce(%a, %b)
    %get.1 = f32[32]{0:T(128)} get-tuple-element(%all-reduce.31), index=1
    %all-reduce-start.2 = f32[8]{0} all-reduce-start(%c), channel_id=2
    %all-reduce-done.2 = f32[8]{0} all-reduce-done(%all-reduce-start.2)
    ROOT %g = pred[16]{0} all-gather(%d), dimensions={0}
    """
    assert collectives(text) == {
        "all-reduce": (2, 4 * 864 + 2 * 2 + 4 * 8),
        "all-gather": (1, 16),
    }


GIB_15 = 15.75 * GIB


@pytest.mark.parametrize(
    ("message", "sizes"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: total memory required (20.00G) exceeds "
            "available HBM (15.75G).",
            (20 * GIB, GIB_15),
        ),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.00G of 15.75G hbm.",
            (20 * GIB, GIB_15),
        ),
        ("RESOURCE_EXHAUSTED: something about HBM", (None, None)),
        ("RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem. Used 20M of 16M vmem.", None),
        ("INTERNAL: failed to legalize operation on hbm", None),
    ],
)
def test_only_a_lack_of_hbm_is_out_of_memory(message: str, sizes: object) -> None:
    assert hbm_sizes(message) == sizes
