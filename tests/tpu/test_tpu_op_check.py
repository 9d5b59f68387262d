"""What the static check refuses, and what it lets pass."""

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from efficientnet_tf.tpu import op_check
from efficientnet_tf.tpu.tracing import trace_plain

VECTOR = tf.TensorSpec([4], tf.float32)


def reasons(fn: Callable[..., Any], *specs: tf.TensorSpec) -> list[str]:
    return [str(problem) for problem in op_check.problems(trace_plain(fn, specs or [VECTOR]))]


def printing(values: tf.Tensor) -> tf.Tensor:
    tf.print(values)
    return values + 1.0


def calling_python(values: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.py_function(lambda x: x, [values], tf.float32), [4])


def calling_numpy(values: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.numpy_function(lambda x: x, [values], tf.float32), [4])


def asserting(values: tf.Tensor) -> tf.Tensor:
    tf.debugging.assert_positive(values)
    return values


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (printing, "runs on the host"),
        (calling_python, "runs on the host"),
        (calling_numpy, "runs on the host"),
        (asserting, "runs on the host"),
        (lambda x: tf.io.encode_base64(tf.as_string(x)), "has no TPU kernel"),
        (lambda x: tf.cast(x, tf.float64), "DstT is float64"),
        (lambda x: tf.cast(x, tf.complex128), "DstT is complex128"),
        (lambda x: tf.where(x > 0), "a shape that is not static"),
        (lambda x: tf.boolean_mask(x, x > 0), "a shape that is not static"),
        (lambda x: tf.unique(x)[0], "a shape that is not static"),
        (lambda x: tf.linalg.eigvals(tf.reshape(x, [2, 2])), "has no TPU kernel"),
        (lambda x: tf.as_string(x) + "!", "has no TPU kernel for T=string"),
    ],
)
def test_what_a_tpu_must_not_get(fn: Any, reason: str) -> None:
    found = reasons(fn)
    assert any(reason in line for line in found), found


def test_an_open_batch_is_refused() -> None:
    found = reasons(lambda x: x * 2.0, tf.TensorSpec([None, 4], tf.float32))
    assert any("not static, (None, 4)" in line for line in found), found


@pytest.mark.parametrize("bad", [printing, lambda x: tf.cast(tf.cast(x, tf.float64), tf.float32)])
def test_functions_inside_are_checked(bad: Any) -> None:
    inner = tf.function(bad, autograph=False)

    def in_a_branch(values: tf.Tensor) -> tf.Tensor:
        return tf.cond(values[0] > 0, lambda: inner(values), lambda: values)

    def in_a_loop(values: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(lambda i, _: i < 3, lambda i, x: (i + 1, inner(x)), (0, values))[1]

    for fn in (in_a_branch, in_a_loop):
        assert reasons(fn), fn


def test_loops_branches_variables_and_seeded_masks_pass() -> None:
    weight = tf.Variable(tf.ones([4, 4]))

    def fn(values: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        def body(index: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            mask = tf.random.stateless_uniform([4], tf.stack([step, tf.cast(index, tf.int64)]))
            return index + 1, tf.linalg.matvec(weight, x) * tf.floor(mask + 0.5)

        _, out = tf.while_loop(lambda index, _: index < 3, body, (0, values))
        weight.assign_add(tf.ones([4, 4]))
        return tf.cond(out[0] > 0, lambda: out, lambda: -out)

    assert reasons(fn, VECTOR, tf.TensorSpec([], tf.int64)) == []


def test_the_table_is_the_one_of_the_tpu_wheel() -> None:
    table = op_check.table()
    assert len(table) == 537
    assert table["CrossReplicaSum"]["T"] == {
        "bfloat16", "float16", "float32", "float64", "int32", "uint32",
    }  # fmt: skip
    assert "DecodeJpeg" not in table
    assert "complex128" not in set().union(
        *(kinds for op in table.values() for kinds in op.values())
    )


def test_a_problem_names_op_and_place() -> None:
    (line,) = [line for line in reasons(printing) if line.startswith("PrintV2")]
    assert line == "PrintV2 (PrintV2): runs on the host"
