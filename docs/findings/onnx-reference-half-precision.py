"""ONNX 1.23.2: the reference evaluator's LayerNormalization and BatchNormalization compute in x's half precision.

LayerNormalization has stash_type=1: statistics and x̂ are float32. BatchNormalization's definition says that ReduceMean
and ReduceVar use float, and running statistics may be float32 where x is float16 (type T2). In the reference evaluator
the one sums squares in float16, where they overflow, and the other returns float16 statistics.

    python docs/findings/onnx-reference-half-precision.py
"""

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def evaluate(operator, inputs, outputs, **attributes):
    """The outputs of a model of one operator."""
    node = helper.make_node(operator, list(inputs), outputs, **attributes)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in inputs.items()
    ]
    types = [TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.FLOAT]
    ends = [helper.make_tensor_value_info(name, t, None) for name, t in zip(outputs, types, strict=False)]
    model = helper.make_model(
        helper.make_graph([node], "norm", infos, ends),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    with np.errstate(over="ignore"):
        return ReferenceEvaluator(model).run(None, inputs)


print(f"onnx {onnx.__version__}")
x = (400 * np.random.default_rng(0).standard_normal((4, 64))).astype(np.float16)
parameters = {"scale": np.ones(64, np.float16), "bias": np.zeros(64, np.float16)}
(y,) = evaluate("LayerNormalization", {"x": x, **parameters}, ["y"], axis=1, epsilon=1e-5, stash_type=1)
wide = x.astype(np.float32)
exact = (wide - wide.mean(axis=1, keepdims=True)) / wide.std(axis=1, keepdims=True)
print(
    f"LayerNormalization of float16, stash_type=1: y up to {np.abs(y).max()}, exact {np.abs(exact).max():.3g}"
)

state = {"mean": np.zeros(64, np.float32), "var": np.ones(64, np.float32)}
found = evaluate(
    "BatchNormalization", {"x": x, **parameters, **state}, ["y", "new_mean", "new_var"], training_mode=1
)
print(f"BatchNormalization of float16 with float32 statistics: returns statistics in {found[2].dtype}")
