# SPDX-License-Identifier: Apache-2.0
"""Registration of operations with PyTorch: dispatch, shapes, gradients, batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad

from ... import _engine
from ...structure.registry import pin, structure_of
from .threads import on_threads_of_torch

LIBRARY = torch.library.Library("gossamer", "DEF")

_PLAIN = (torch.Tensor, torch.nn.Parameter)

#: Newer versions of PyTorch describe a tensor in C, in a tenth of the time.
DESCRIBES_TENSORS = _engine.has_exchange_api(torch.empty(0))

# What escaped from a function that torch.func transformed, and the batches of
# torch.autograd.functional: the dispatcher unwraps them.
_is_dead_wrapper = torch._C._functorch.is_dead_tensor_wrapper
_is_legacy_batch = torch._C._functorch.is_legacy_batchedtensor

#: Gradient of one operand: its number, the gradient of the result, then the operation's arguments,
#: structures themselves instead of their numbers.
Adjoint = Callable[..., torch.Tensor]


def check_same_device(
    x: torch.Tensor, values: torch.Tensor, matrix: str, argument: str = "x"
) -> None:
    """Raise ValueError with advice if an operation's operands are on different devices."""
    if x.device != values.device:
        raise ValueError(
            f"{argument} is on {x.device} and {matrix} on {values.device}; move one of them, as "
            f"with {argument}.to({str(values.device)!r})"
        )


def is_plain(tensors: tuple[torch.Tensor | None, ...]) -> bool:
    """Whether nothing but autograd looks at what happens to these tensors, all of one device."""
    if torch._C._len_torch_dispatch_stack() > 0 or torch._C._get_tracing_state() is not None:
        return False
    if DESCRIBES_TENSORS:
        return _engine.are_plain(tensors, _PLAIN)
    device = None
    for x in tensors:
        if x is None:
            continue
        if type(x) not in _PLAIN or x.is_conj() or x.is_neg():
            return False
        if _is_dead_wrapper(x) or _is_legacy_batch(x):
            return False
        if device is None:
            device = x.device
        elif x.device != device:
            return False
    return True


def is_under_grad() -> bool:
    """Whether one of torch.func's transformations for the reverse mode runs."""
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Grad for level in stack)


# It is a constant of what torch.compile records.
is_under_grad._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _leave_untraced(function: Any) -> None:
    """Let the compiler run a function, and what that calls, as they are.

    It would trace them where it meets them outside of what it records, as in a compiled function
    under ``torch.func``. ``torch.compiler.disable`` would do it too, for 0.6 µs a call and 1.6 s to
    import the compiler.
    """
    frames = torch._C._dynamo.eval_frame
    if hasattr(frames, "set_code_exec_strategy"):  # not in old versions
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(skip, skip))


def apply_untransformed(function: Any) -> Any:
    """``apply`` of an ``autograd.Function``, without its look at torch.func; callers have looked.

    Not at a module's top level: where ``super`` is one of its names, Python 3.12 and newer compile
    all calls of it in a way that torch.compile does not know.
    """
    return super(torch.autograd.Function, function).apply


def has_gradient(tensors: Sequence[torch.Tensor | None]) -> bool:
    """Whether somebody may ask for a gradient of what is computed from these tensors now."""
    for x in tensors:
        if x is not None and x.requires_grad:
            enabled: bool = torch.is_grad_enabled()
            return enabled
    return False


def runs_eagerly(tensors: tuple[torch.Tensor | None, ...]) -> bool:
    """Whether nothing but the reverse mode looks at what happens to these tensors."""
    return (
        forward_ad._current_level < 0
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and is_plain(tensors)
    )


class Operation:
    """A registered operation whose result is linear in each of its tensors.

    Its schema names the tensors first. From its adjoint follow the gradients of every order, and
    from linearity the forward mode; batches that no rule knows are computed one by one.

    Parameters
    ----------
    schema
        As ``torch.library`` takes it, without the namespace.
    structures
        How many numbers of structures follow the tensors.
    kernel
        Computes it on the CPU.
    fake
        Makes an empty result from the same arguments.
    adjoint
        Gradient of an operand.
    batch
        Result for one batched operand, whose batch axis comes first, or None if it does not know
        how; called with the number of the operand and the arguments.
    """

    def __init__(
        self,
        schema: str,
        structures: int,
        kernel: Callable[..., torch.Tensor],
        fake: Callable[..., torch.Tensor],
        adjoint: Adjoint,
        batch: Callable[..., torch.Tensor | None] | None = None,
    ) -> None:
        name = schema[: schema.index("(")]
        LIBRARY.define(schema)
        self._name = name
        declared = schema[len(name) + 1 : schema.index(")")].split(", ")
        self._names = [argument.split()[1] for argument in declared if "Tensor" in argument]
        self.tensors = len(self._names)
        self._kernels: dict[str, Callable[..., torch.Tensor]] = {}
        self.register_kernel("cpu", kernel)
        self.overload = getattr(torch.ops.gossamer, name).default
        self._structures = structures
        self._adjoint = adjoint
        self._batch = batch
        qualified = f"gossamer::{name}"
        torch.library.register_fake(qualified, self._checking(self._pinning(fake)), lib=LIBRARY)
        torch.library.register_autograd(
            qualified, self._backward, setup_context=self._setup_context, lib=LIBRARY
        )
        torch.library.register_vmap(qualified, self._vmap, lib=LIBRARY)
        self._function = self._transformable(name)
        self._tracked = self._trackable(name)

    def __call__(self, *arguments: Any) -> torch.Tensor:
        """Compute the result, differentiably."""
        forward_mode = forward_ad._current_level >= 0
        if torch.compiler.is_compiling():
            if forward_mode:
                raise RuntimeError(
                    "forward-mode differentiation of sparse operations is not supported inside "
                    "torch.compile; call jvp outside, or use the reverse mode"
                )
            if is_under_grad():
                raise RuntimeError(
                    "torch.func.grad, vjp and jacrev of sparse operations are not supported inside "
                    "torch.compile; call them outside, or torch.autograd.grad on what the compiled "
                    "function returns"
                )
            return self.overload(*arguments)
        if forward_mode or torch._C._are_functorch_transforms_active():
            return self._function.apply(*arguments)
        tensors = arguments[: self.tensors]
        first = tensors[0]
        kernel = self._kernels.get("cpu" if first.is_cpu else "cuda" if first.is_cuda else "")
        if kernel is None or not is_plain(tensors):
            return self.overload(*arguments)
        # The dispatcher would come to the same, in twice the time.
        return self.by(kernel, tensors, arguments[self.tensors :])

    def by(
        self,
        kernel: Callable[..., torch.Tensor],
        tensors: tuple[torch.Tensor | None, ...],
        static: tuple[Any, ...],
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute the result of tensors that `runs_eagerly` by a kernel, differentiably.

        A kernel that takes a bias as its last argument adds it along the result's last axis.
        """
        if has_gradient((bias, *tensors)):
            return self._tracked((kernel, static), bias, *tensors)
        return kernel(*tensors, *static) if bias is None else kernel(*tensors, *static, bias)

    def plus(self, bias: torch.Tensor, tensors: tuple[Any, ...], *static: Any) -> torch.Tensor:
        """Compute the result plus a bias, all of tensors of one device that `runs_eagerly`."""
        return self.by(self._kernels["cpu" if bias.is_cpu else "cuda"], tensors, static, bias)

    def register_kernel(self, device: str, kernel: Callable[..., torch.Tensor]) -> None:
        """Compute it by a kernel where the tensors are on "cpu" or "cuda"."""
        if device == "cpu":
            kernel = on_threads_of_torch(kernel)
        self._kernels[device] = kernel
        dispatched = self._checking(kernel)
        LIBRARY.impl(self._name, dispatched, device.upper())
        _leave_untraced(kernel)
        _leave_untraced(dispatched)

    def _checking(self, function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """Look at the devices first: the dispatcher takes the kernel of one of them for all."""

        def checking(*arguments: Any) -> torch.Tensor:
            last = self.tensors - 1
            for name, x in zip(self._names, arguments[:last], strict=False):
                if x is not None:
                    check_same_device(x, arguments[last], self._names[last], name)
            return function(*arguments)

        return checking

    def _pinning(self, fake: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """Keep the structures of what is traced: the compiled program has only their numbers."""

        def pinned(*arguments: Any) -> torch.Tensor:
            for number in arguments[self.tensors : self.tensors + self._structures]:
                pin(number)
            return fake(*arguments)

        return pinned

    def _setup_context(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        self._keep(ctx, inputs[: self.tensors], inputs[self.tensors :])

    def _keep(self, ctx: Any, tensors: tuple[Any, ...], static: tuple[Any, ...]) -> None:
        """Keep the arguments for the gradient, and the structures among them."""
        ctx.save_for_backward(*tensors)
        ctx.static = static
        last = self._structures
        ctx.resolved = *map(structure_of, static[:last]), *static[last:]

    def _backward(self, ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        needed = ctx.needs_input_grad[: self.tensors]
        return *self._gradients(ctx, gradient, needed), *[None] * len(ctx.static)

    def _gradients(self, ctx: Any, gradient: torch.Tensor, needed: tuple[bool, ...]) -> list[Any]:
        """Gradients of the tensors that need one."""
        arguments = *ctx.saved_tensors, *ctx.resolved
        return [
            self._adjoint(operand, gradient, *arguments) if needs else None
            for operand, needs in enumerate(needed)
        ]

    def _vmap(
        self, info: Any, in_dims: tuple[int | None, ...], *arguments: Any
    ) -> tuple[torch.Tensor, int]:
        tensors, static = arguments[: self.tensors], arguments[self.tensors :]
        first = [
            x if axis is None else x.movedim(axis, 0)
            for x, axis in zip(tensors, in_dims, strict=False)
        ]
        batched = [i for i in range(self.tensors) if in_dims[i] is not None]
        if self._batch is not None and len(batched) == 1:
            result = self._batch(batched[0], *first, *static)
            if result is not None:
                return result, 0
        size = info.batch_size
        if size == 0:  # a member to learn the shape from
            first = [
                x.new_zeros((1, *x.shape[1:])) if operand in batched else x
                for operand, x in enumerate(first)
            ]
        members = [
            self(*(x[i] if operand in batched else x for operand, x in enumerate(first)), *static)
            for i in range(max(1, size))
        ]
        return torch.stack(members)[:size], 0

    def _trackable(self, name: str) -> Any:
        """``autograd.Function`` for plain tensors and the reverse mode alone, the quickest one."""
        operation = self

        class Tracked(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(
                ctx: Any,
                call: tuple[Any, ...],
                bias: torch.Tensor | None,
                *tensors: torch.Tensor | None,
            ) -> torch.Tensor:
                kernel, static = call
                operation._keep(ctx, tensors, static)
                if bias is None:
                    return kernel(*tensors, *static)
                return kernel(*tensors, *static, bias)

            @staticmethod
            def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
                _, needs_bias, *needed = ctx.needs_input_grad
                by_bias = gradient.sum_to_size(gradient.shape[-1:]) if needs_bias else None
                return None, by_bias, *operation._gradients(ctx, gradient, needed)

        _leave_untraced(Tracked.forward)
        Tracked.__name__ = Tracked.__qualname__ = name
        return apply_untransformed(Tracked)

    def _transformable(self, name: str) -> Any:
        """``autograd.Function`` of the operation: ``torch.library`` knows no forward mode."""
        operation = self

        class Function(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(*arguments: Any) -> torch.Tensor:
                return operation.overload(*arguments)

            @staticmethod
            def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
                operation._setup_context(ctx, inputs, output)
                ctx.save_for_forward(*inputs[: operation.tensors])
                # Tangents of zeros that PyTorch makes lose those of an outer forward mode.
                ctx.set_materialize_grads(False)

            @staticmethod
            def backward(ctx: Any, gradient: torch.Tensor | None) -> tuple[Any, ...]:
                if gradient is None:
                    return (None,) * len(ctx.needs_input_grad)
                return operation._backward(ctx, gradient)

            @staticmethod
            def jvp(ctx: Any, *tangents: Any) -> torch.Tensor:
                tensors = ctx.saved_tensors
                terms = [
                    operation(*tensors[:i], tangent, *tensors[i + 1 :], *ctx.static)
                    for i, tangent in enumerate(tangents[: operation.tensors])
                    if tangent is not None
                ]
                return sum(terms[1:], terms[0])

            @staticmethod
            def vmap(info: Any, in_dims: Any, *arguments: Any) -> tuple[torch.Tensor, int]:
                return operation._vmap(info, in_dims, *arguments)

        Function.__name__ = Function.__qualname__ = name
        return Function
