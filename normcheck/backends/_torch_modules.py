"""torch.nn.Modules of users, scripted, traced and compiled ones too, as functions of the parameters that they hold."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from normcheck.backends._names import OURS

Tensor = torch.Tensor
Parameter = Optional[Tensor]
Names = Tuple[str, ...]
NEUTRAL = {"weight": 1.0, "bias": 0.0}


class ModuleFunction:
    """A torch.nn.Module called like a function; its eps, groups and momentum are its own.

    The case's weight, bias and running statistics stand in for the module's, whatever of SPELLINGS it calls them.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module
        own = inspect.signature(type(self).__call__)
        taken = _parameters_of(module)
        unshown = {"self"} if "residual" in taken else {"self", "residual"}
        shown = [p for name, p in own.parameters.items() if name not in unshown]
        self.__signature__ = own.replace(parameters=shown)

    def __call__(
        self,
        x: Tensor,
        weight: Parameter,
        bias: Parameter,
        residual: Parameter = None,
        *,
        training: bool = True,
        running_mean: Optional[Tensor] = None,
        running_var: Optional[Tensor] = None,
    ) -> Any:
        buffers = {name for name, _ in held(self.module)}
        state = {"running_mean": running_mean, "running_var": running_var}
        tracked = {name: value for name, value in state.items() if value is not None and name in buffers}
        standing_in = {**self._parameters({"weight": weight, "bias": bias}, x.dtype), **self._found(tracked)}
        arguments = (x,) if residual is None else (x, residual)
        was = self.module.training
        self.module.train(training)
        try:
            y = _called(self.module, standing_in, arguments)
        finally:
            self.module.train(was)
        return (y, *tracked.values()) if len(tracked) == len(state) else y

    def _found(self, given: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """What stands in for what the module calls by the names of ``given``, by full name."""
        return {
            full: given[name]
            for full, _ in self.module.named_buffers()
            if (name := full.rpartition(".")[2]) in given
        }

    def _parameters(self, given: Mapping[str, Parameter], dtype: torch.dtype) -> Dict[str, Tensor]:
        """What stands in for the module's one weight and its one bias; neutral ones where the case has none."""
        found: Dict[str, Tensor] = {}
        for name, value in given.items():
            own = [(full, p) for full, p in self.module.named_parameters() if _ours(full) == name]
            if not own and value is None:
                continue
            if len(own) != 1:
                raise TypeError(f"the module has {len(own)} parameters called {name} to load the case's into")
            ((full, parameter),) = own
            if value is None:
                found[full] = torch.full_like(parameter, NEUTRAL[name], dtype=dtype)
            elif value.numel() != parameter.numel():
                shapes = f"{tuple(parameter.shape)}, the case's has {tuple(value.shape)}"
                raise TypeError(f"the module's {name} has shape {shapes}")
            else:
                found[full] = value.reshape(parameter.shape)
        return found


def _parameters_of(module: torch.nn.Module) -> Names:
    """The names of what its forward takes."""
    if isinstance(module, torch.jit.ScriptModule):
        forward: Any = module.forward
        return tuple(argument.name for argument in forward.schema.arguments)
    return tuple(inspect.signature(module.forward).parameters)


def _ours(name: str) -> str:
    """What we call a parameter whose full name in a module is ``name``."""
    return OURS.get(name.rpartition(".")[2], "")


def held(module: torch.nn.Module) -> List[Tuple[str, Tensor]]:
    """Parameters and buffers, by the last part of their names."""
    named = (*module.named_parameters(), *module.named_buffers())
    return [(name.rpartition(".")[2], tensor) for name, tensor in named]


def _called(module: torch.nn.Module, tensors: Mapping[str, Tensor], arguments: Tuple[Tensor, ...]) -> Any:
    """Call ``module`` with ``tensors`` for its own of these names."""
    if not isinstance(module, torch.jit.ScriptModule):
        return torch.func.functional_call(module, dict(tensors), arguments)
    return _Scripted.apply(module, tuple(tensors), len(tensors), *tensors.values(), *arguments)  # type: ignore[no-untyped-call]


class _Scripted(torch.autograd.Function):
    """A scripted or traced module has no stateless call: it gets other parameters for as long as it is called."""

    @staticmethod
    def forward(
        ctx: Any, module: torch.jit.ScriptModule, names: Names, count: int, *tensors: Tensor
    ) -> Tensor:
        parameters = dict(module.named_parameters())
        own = {**parameters, **dict(module.named_buffers())}
        given = dict(zip(names, tensors))
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in tensors[count:]]
            stand_ins = {
                name: torch.nn.Parameter(tensor.detach()) if name in parameters else tensor
                for name, tensor in given.items()
            }
            try:
                _put(module, stand_ins)
                y = module(*leaves)
            finally:
                _put(module, {name: own[name] for name in given})
        ctx.y, ctx.leaves = y, [*stand_ins.values(), *leaves]
        detached: Tensor = y.detach()
        return detached

    @staticmethod
    def backward(ctx: Any, *grad_y: Tensor) -> Tuple[Optional[Tensor], ...]:
        wanted = [leaf for leaf in ctx.leaves if leaf.requires_grad]
        found = iter(torch.autograd.grad(ctx.y, wanted, grad_y, allow_unused=True))
        return (None, None, None, *(next(found) if leaf.requires_grad else None for leaf in ctx.leaves))


def _put(module: torch.jit.ScriptModule, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        setattr(functools.reduce(getattr, path, module), last, tensor)


class ScriptFunction:
    """A scripted function, with the signature that Python cannot see."""

    def __init__(self, function: torch.jit.ScriptFunction[Any, Any]) -> None:
        self.function = function
        schema: Any = function.schema
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    argument.name,
                    inspect.Parameter.KEYWORD_ONLY if argument.kwarg_only else kind,
                    default=argument.default_value
                    if argument.has_default_value()
                    else inspect.Parameter.empty,
                )
                for argument in schema.arguments
            ]
        )

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)


def ndims(layer: torch.nn.Module) -> Tuple[int, ...]:
    """How many axes the x may have that the first batch or instance norm takes that ``layer`` is or has."""
    for module in layer.modules():
        if isinstance(module, _InstanceNorm):
            return (module._get_no_batch_dim() + 1,)  # type: ignore[no-untyped-call]
        if isinstance(module, _BatchNorm):
            return tuple(ndim for ndim in range(2, 6) if _takes(module, ndim))
    return ()


def _takes(module: _BatchNorm, ndim: int) -> bool:
    try:
        module._check_input_dim(torch.empty((1,) * ndim, device="meta"))  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return True
