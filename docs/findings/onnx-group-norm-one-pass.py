"""ONNX 1.23.2: GroupNormalization's variance is E[x²] - E[x]² by the operator's own definition as a function.

ONNX Runtime 1.32.0 on the CPU and ONNX's reference evaluator both compute it so, in float32, for opset 18 and 21: the
error grows with the square of the mean, and a variance that comes out negative gives NaN. LayerNormalization, over
the same elements, takes the mean of squared deviations.

    python docs/findings/onnx-group-norm-one-pass.py
"""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

EPS = 1e-5


def models(opset, channels):
    """Group norm with one group, and layer norm over the same elements, as models."""
    per = 1 if opset < 21 else channels
    for operator, shape, attributes in (
        ("GroupNormalization", [per], {"num_groups": 1}),
        ("LayerNormalization", [1], {"axis": 1}),
    ):
        node = helper.make_node(operator, ["x", "scale", "bias"], ["y"], epsilon=EPS, **attributes)
        constants = [
            helper.make_tensor(name, TensorProto.FLOAT, shape, [value] * shape[0])
            for name, value in (("scale", 1.0), ("bias", 0.0))
        ]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in "xy"]
        graph = helper.make_graph([node], "norm", ends[:1], ends[1:], constants)
        yield (
            operator,
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10),
        )


print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
noise = np.random.default_rng(0).standard_normal((4, 4, 64))
for opset in (18, 21):
    for operator, model in models(opset, noise.shape[1]):
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        evaluator = ReferenceEvaluator(model)
        for offset in (0, 10, 100, 1e3, 1e4):
            x = (noise + offset).astype(np.float32)
            exact = x.astype(np.float64) - x.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
            exact /= np.sqrt(np.square(exact).mean(axis=(1, 2), keepdims=True) + EPS)
            with np.errstate(invalid="ignore"):
                found = {
                    "onnxruntime": session.run(None, {"x": x})[0],
                    "reference": evaluator.run(None, {"x": x})[0],
                }
            shown = ", ".join(f"{name} {np.abs(y - exact).max():.2g}" for name, y in found.items())
            print(f"opset {opset}, {operator}, mean {offset:g}: largest error {shown}")
