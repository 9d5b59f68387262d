"""Latency: in turn, after a warm-up, with the statistics that Table 4's kind of table needs."""

import numpy as np
import pytest

from efficientnet_tf.export.latency import Latency, measure


def test_all_take_their_turn_and_the_warm_up_does_not_count() -> None:
    calls: list[str] = []
    now = [0.0]

    def contestant(name: str, seconds: list[float]) -> object:
        waits = iter(seconds)

        def run(images: np.ndarray) -> None:
            calls.append(name)
            now[0] += next(waits)

        return run

    found = measure(
        {
            "slow": (contestant("slow", [9.0, 0.004, 0.002]), np.zeros(1)),
            "fast": (contestant("fast", [9.0, 0.001, 0.003]), np.zeros(1)),
        },
        rounds=2,
        warm_up=1,
        clock=lambda: now[0],
    )
    assert calls == ["slow", "fast"] * 3
    assert found["slow"].milliseconds == pytest.approx((2.0, 4.0))
    assert found["fast"].milliseconds == pytest.approx((1.0, 3.0))


def test_statistics() -> None:
    each = Latency(tuple(float(value) for value in range(1, 12)))
    assert (each.mean, each.median, each.p90) == (6.0, 6.0, 10.0)
