"""`make tpu-check`: whole networks compiled by the real TPU compiler. Minutes each, so `slow`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tpu.children import MISSING

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MISSING is not None, reason=f"no TPU compiler: {MISSING}"),
]


B0, B7 = "efficientnet-b0", "efficientnet-b7"
# Trainable weights and multiply-adds of one image (golden/params.json).
SIZES = {B0: (5_288_548, 385_814_752), B7: (66_347_960, 37_745_884_192)}


@pytest.mark.parametrize(  # eight replicas each
    ("model", "tpu_type", "global_batch_size"),
    [
        (B0, "v5litepod-8", 1024),
        (B0, "v3-8", 1024),
        (B0, "v4-16", 1024),
        (B0, "v6e-8", 1024),
        (B7, "v5litepod-8", 64),
    ],
)
def test_the_train_step_compiles_and_fits(
    model: str, tpu_type: str, global_batch_size: int
) -> None:
    command = [sys.executable, "main.py", "preflight", f"--model={model}"]
    command += [f"--tpu_type={tpu_type}", f"--global_batch_size={global_batch_size}"]
    done = subprocess.run(
        [*command, "--functions=train"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"8 replicas of {global_batch_size // 8} images" in done.stdout
    assert "train: fits" in done.stdout
    weights, multiply_adds = SIZES[model]
    # Each gradient is summed over the replicas once, in float32, in as few exchanges as XLA makes.
    exchanged = re.search(r"collectives     \d all-reduce, ([\d.]+) MiB\n", done.stdout)
    assert exchanged is not None
    assert float(exchanged[1]) == pytest.approx(4 * weights / 2**20, abs=0.06)
    found = re.search(r"GFLOP a replica, ([\d.]+) an image", done.stdout)
    assert found is not None
    # Forward and twice as much backward, two operations to a multiply-add; and what is not
    # counted as one: batch norm, activations, what the compiler computes again.
    assert 5.5 * multiply_adds < 1e9 * float(found[1]) < 10 * multiply_adds
