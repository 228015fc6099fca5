# SPDX-License-Identifier: Apache-2.0
"""PyTorch's operators with a container among the operands."""

from __future__ import annotations

from typing import Any, ClassVar


class TorchOperators:
    """Lets ``x @ A`` and its kin, and ``torch.matmul``, reach a container's own methods.

    ``torch.compile`` asks ``__torch_function__`` for ``A @ x`` too.
    """

    __slots__ = ()

    #: What advice calls the container, a key of what `gossamer.scipy_names` knows.
    _called: ClassVar[str]
    #: What to write where a function does not take the container.
    _instead: ClassVar[str]

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the operator's method of the container.

        Raises TypeError for every other function, and for keywords beside the operands, as ``out``.
        """
        from .torch import operators  # whose function takes this one's place

        return operators.call_operator(cls, func, types, args, kwargs)
