# SPDX-License-Identifier: Apache-2.0
"""PyTorch's operators with a container among the operands."""

from __future__ import annotations

from typing import Any


class TorchOperators:
    """Lets ``x @ A`` and its kin, and ``torch.matmul``, reach a container's own methods.

    ``torch.compile`` asks ``__torch_function__`` for ``A @ x`` too.
    """

    __slots__ = ()

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the operator's method of the container.

        Raises TypeError for every other function, and for keywords beside the operands, as ``out``.
        """
        from .torch.operators import operands, operator_name

        name = operator_name(func)
        if name is None:
            raise TypeError(
                f"PyTorch's {getattr(func, '__name__', func)} does not take a {cls.__name__}; give "
                f"it A.data and the result to A.with_data, or give it the dense matrix"
            )
        left, right = operands(func, args, kwargs or {})
        if name.startswith("r"):
            left, right, name = right, left, name[1:]
        if isinstance(left, cls):
            return getattr(left, f"__{name}__")(right)
        return getattr(right, f"__r{name}__")(left)
