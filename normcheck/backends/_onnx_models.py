"""ONNX: models of one normalization operator each, and what the backends that run them share.

ONNX keeps the attributes epsilon and momentum in float32, its momentum weighs the old value, and its running
variance takes the biased one.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from normcheck.backends._adapter import Params
from normcheck.backends._base import Task
from normcheck.backends.numpy import NumPyArrays

Array = Any  # numpy.ndarray
Parameter = Optional[Array]

ROUNDOFF = {"float64": 2.0**-53}  # of the sums; float32's elsewhere
FLOAT32_ROUNDOFF = 2.0**-24
MOMENTUM_ROUNDOFFS = 17  # 1 - 0.99 in float32 is 16 off, which the verdict just allows


class Node(NamedTuple):
    """An operator with the names of what goes in and comes out, and its attributes."""

    operator: str
    inputs: List[str]
    outputs: List[str]
    attributes: Mapping[str, Any] = {}


def model(
    nodes: List[Node],
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array],
    outputs: Mapping[str, Array],
    opset: int,
) -> bytes:
    """A serialized model; ``inputs`` and ``outputs`` say the dtypes and ranks by arrays that are like them."""

    def infos(like: Mapping[str, Array]) -> List[Any]:
        return [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), [None] * a.ndim)
            for name, a in like.items()
        ]

    graph = helper.make_graph(
        [helper.make_node(node.operator, node.inputs, node.outputs, **node.attributes) for node in nodes],
        "normalization",
        infos(inputs),
        infos(outputs),
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    made = helper.make_model(graph, opset_imports=imports, ir_version=helper.find_min_ir_version_for(imports))
    content: bytes = made.SerializeToString()
    return content


class Onnx(NumPyArrays):
    """What runs ONNX models; its arrays are NumPy's, with ml_dtypes' bfloat16.

    x, weight, bias and running statistics are inputs of the model; a weight or bias that is None is a constant of
    ones or zeros in it. The channel axis is moved to 1 outside of it.
    """

    DIFFERENTIATES = False
    TRACKED = ("batch",)
    NO_BIAS = ("rms",)

    def __init__(self, options: Mapping[str, str], device: str = "cpu") -> None:
        """``[opset=18]`` has the GroupNormalization with scale and bias for each group, 21 for each channel."""
        self.options, self.device = dict(options), device
        self.opset = int(self.options.get("opset", "21"))

    def run(self, content: bytes, feeds: Dict[str, Array]) -> List[Array]:
        """The outputs of a serialized model."""
        raise NotImplementedError

    def not_offered(self, task: Task) -> Optional[str]:
        """Besides, the parameters that float32 does not hold as exactly as the case's dtype asks for."""
        reason = super().not_offered(task)
        if reason is not None:
            return reason
        roundoff = ROUNDOFF.get(task.dtype, FLOAT32_ROUNDOFF)
        eps = task.params["eps"]
        if abs(float(np.float32(eps)) - eps) > roundoff * eps:
            return f"ONNX keeps epsilon in float32, which has no {eps:g} for a {task.dtype} case"
        if task.tracks and (task.mode == "train" or task.steps > 0):
            momentum = task.params["momentum"]
            if abs(1 - float(np.float32(1 - momentum)) - momentum) > MOMENTUM_ROUNDOFFS * roundoff * momentum:
                return f"ONNX keeps 1 - momentum in float32, which has no {1 - momentum:g} for a {task.dtype} case"
        return None

    def expected_error(self, task: Task, shape: Tuple[int, ...]) -> Optional[str]:
        """GroupNormalization is a function that reshapes x to a length of -1, which an empty one has not."""
        if task.method == "group" and shape[0] == 0:
            return "ONNX's GroupNormalization refuses an empty batch"
        return None

    def batch_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Any:
        """BatchNormalization-15.

        The model's new variance, (1-m)·old + m·biased, is linear: it is given old·(n-1)/n, and what it returns
        is multiplied by n/(n-1). Half-precision statistics are float32 meanwhile, which the operator allows.
        """
        running_mean, running_var = params.running_mean, params.running_var
        attributes = {"epsilon": params.eps, "momentum": 1 - params.momentum}
        attributes["training_mode"] = int(params.training)
        if not params.training:
            state = {"mean": running_mean, "var": running_var}
            return self._normalized("BatchNormalization", x, weight, bias, state, attributes)[0]
        wide = np.promote_types(running_var.dtype, np.float32)
        elements = np.float64(x.size // x.shape[1])
        with np.errstate(divide="ignore", invalid="ignore"):  # of one element there is no unbiased variance
            old = running_var.astype(wide) * wide.type((elements - 1) / elements)
            state = {"mean": running_mean.astype(wide), "var": old}
            y, mean, var = self._normalized("BatchNormalization", x, weight, bias, state, attributes)
            var = var.astype(wide) * wide.type(elements / (elements - 1))
        dtype = running_var.dtype
        return y, mean.astype(dtype), var.astype(dtype)

    def layer_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """LayerNormalization-17, whose statistics are float32 by its stash_type: it has no other but bfloat16."""
        last = params.normalized_ndim
        attributes = {"epsilon": params.eps, "axis": -last, "stash_type": TensorProto.FLOAT}
        shape = x.shape[x.ndim - last :]
        return self._normalized("LayerNormalization", x, weight, bias, {}, attributes, shape)[0]

    def rms_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """RMSNormalization-23, whose statistics are float32 by its stash_type."""
        return self._scaled("RMSNormalization", x, weight, params, max(self.opset, 23))

    def _scaled(self, operator: str, x: Array, weight: Parameter, params: Params, opset: int) -> Array:
        """An operator that has a scale and no bias, over the last axes."""
        last = params.normalized_ndim
        stash = TensorProto.DOUBLE if x.dtype == np.float64 else TensorProto.FLOAT
        attributes = {"epsilon": params.eps, "axis": -last, "stash_type": stash}
        feeds, constants = {"x": x}, {}
        if weight is None:
            constants["weight"] = np.ones(x.shape[x.ndim - last :], x.dtype)
        else:
            feeds["weight"] = weight
        node = Node(operator, ["x", "weight"], ["y"], attributes)
        return self.run(model([node], feeds, constants, {"y": x}, opset), feeds)[0]

    def instance_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """InstanceNormalization-6."""
        return self._normalized("InstanceNormalization", x, weight, bias, {}, {"epsilon": params.eps})[0]

    def group_norm(self, x: Array, weight: Parameter, bias: Parameter, params: Params) -> Array:
        """GroupNormalization. Opset 18 has a scale and bias for each group: they are 1 and 0, and the channels'
        follow it.
        """
        attributes = {"epsilon": params.eps, "num_groups": len(params.groups)}
        if self.opset < 21:
            return self._groups_then_affine(x, weight, bias, attributes)
        attributes["stash_type"] = TensorProto.DOUBLE if x.dtype == np.float64 else TensorProto.FLOAT
        return self._normalized("GroupNormalization", x, weight, bias, {}, attributes)[0]

    def _groups_then_affine(
        self, x: Array, weight: Parameter, bias: Parameter, attributes: Dict[str, Any]
    ) -> Array:
        """GroupNormalization-18, then Mul and Add with the weight and bias of each channel."""
        along = [-1] + [1] * (x.ndim - 2)
        feeds, nodes, last = {"x": x}, [], "normalized"
        nodes.append(Node("GroupNormalization", ["x", "ones", "zeros"], [last], attributes))
        for operator, name, parameter in (("Mul", "weight", weight), ("Add", "bias", bias)):
            if parameter is not None:
                feeds[name] = parameter.reshape(along)
                nodes.append(Node(operator, [last, name], [operator.lower()]))
                last = operator.lower()
        constants = {
            "ones": np.ones(attributes["num_groups"], x.dtype),
            "zeros": np.zeros(attributes["num_groups"], x.dtype),
        }
        return self.run(model(nodes, feeds, constants, {last: x}, self.opset), feeds)[0]

    def _normalized(
        self,
        operator: str,
        x: Array,
        weight: Parameter,
        bias: Parameter,
        state: Dict[str, Array],
        attributes: Dict[str, Any],
        shape: Optional[Tuple[int, ...]] = None,
    ) -> List[Array]:
        """What ``operator`` makes of x; a model in training returns the ``state`` too."""
        shape = x.shape[1:2] if shape is None else shape
        feeds: Dict[str, Array] = {"x": x}
        constants: Dict[str, Array] = {}
        for name, parameter, neutral in (("weight", weight, 1), ("bias", bias, 0)):
            if parameter is None:
                constants[name] = np.full(shape, neutral, x.dtype)
            else:
                feeds[name] = parameter
        feeds.update(state)
        outputs = {"y": x}
        if attributes.get("training_mode"):
            outputs.update({f"new_{name}": array for name, array in state.items()})
        node = Node(operator, ["x", "weight", "bias", *state], list(outputs), attributes)
        return self.run(model([node], feeds, constants, outputs, self.opset), feeds)
