# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Adapter
"""JAX arrays in the memory of the CPU.

Every operation is a JAX primitive. Called on arrays it runs at once; inside ``jax.jit`` it is a
call of the engine (`gossamer.arrays.xla`), or a callback where this build has none. Sparse and
packed arrays are pytrees whose one leaf is ``data``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from .. import containers, gradients
from ..dtypes import VALUE_DTYPES, accumulator, check_value_dtype, promote
from ..packed import PackedArray
from ..packed.dense import DenseStorage
from ..packed.dtypes import has_scales
from ..packed.foreign import ForeignStorage, TrackedStorage
from ..packed.storage import PackedStorage
from ..structure import Pattern, Selection, check_values
from . import adapter_of, kernels, xla
from .adapter import Array
from .differentiable import DifferentiableAdapter
from .numpy import adapter as numpy_adapter

if TYPE_CHECKING:
    from ..containers import SparseArray
    from ..packed.storage import Storage


class JAXAdapter(DifferentiableAdapter):
    """Adapter of ``jax.Array``, traced ones included."""

    ops = sys.modules[__name__]

    array_type = type(jnp.zeros(0))

    # ---- arrays --------------------------------------------------------------------------------

    def asarray(
        self, x: Any, argument: str, dtypes: tuple[str, ...] | None = VALUE_DTYPES
    ) -> Array:
        x = jnp.asarray(x) if isinstance(x, list | tuple) else x
        if not isinstance(x, jax.Array):
            raise TypeError(f"{argument} is {type(x).__name__}, expected a JAX array")
        check_value_dtype(x.dtype.name, argument, dtypes)
        return x

    def dtype_name(self, dtype: Any) -> str:
        return numpy_adapter.dtype_name(dtype)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        return self.astype(jnp.zeros(shape), dtype)

    def concatenate(self, arrays: list[Array]) -> Array:
        return jnp.concatenate(arrays)

    def astype(self, x: Array, dtype: str) -> Array:
        _check_width(dtype)
        return x.astype(dtype)

    def copy(self, x: Array) -> Array:
        return x.copy()

    def tonumpy(self, x: Array) -> Any:
        if isinstance(x, jax.core.Tracer):
            raise TypeError(
                "the elements of an array that JAX traces cannot be read, and the structure of a "
                "sparse array depends on them; make the sparse array outside jit, grad and vmap"
            )
        return np.asarray(x)

    def packed_storage(
        self, format: str, dtype: str, shape: tuple[int, int], parts: dict[str, Array]
    ) -> Storage:
        values = parts["values"]
        if has_scales(dtype) and isinstance(values, np.ndarray):
            # In memory of JAX's own: a program that gets them finds those of the matrix.
            parts = {**parts, "values": self.fromnumpy(values)}
        return super().packed_storage(format, dtype, shape, parts)

    def fromnumpy(self, x: Any) -> Array:
        _check_width(x.dtype.name)
        return jnp.asarray(x)

    # ---- elementwise ---------------------------------------------------------------------------

    def conj(self, x: Array) -> Array:
        return x.conj()

    def absolute_square(self, x: Array) -> Array:
        if jnp.iscomplexobj(x):
            return x.real**2 + x.imag**2
        return jnp.square(self.astype(x, accumulator(x.dtype.name)))

    def sqrt(self, x: Array) -> Array:
        return jnp.sqrt(x)

    def sum(self, x: Array) -> Array:
        return jnp.sum(self.astype(x, accumulator(x.dtype.name))).astype(x.dtype)

    def take(self, x: Array, positions: Any) -> Array:
        return x[positions]

    def scatter_max(self, x: Array, positions: Any, values: Array) -> Array:
        return x.at[positions].max(values)


def _check_width(dtype: str) -> None:
    """Raise TypeError for a dtype that JAX would narrow."""
    if dtype in ("float64", "complex128", "int64", "uint64") and not jax.config.jax_enable_x64:
        raise TypeError(
            f"JAX has no {dtype} unless it is told so: jax.config.update('jax_enable_x64', True)"
        )


def conj(x: Array) -> Array:
    """Return x itself: JAX's gradients are transposed, not conjugated."""
    return x


def cast_like(x: Array, other: Any) -> Array:
    """Cast to the dtype of an array, or of the place of one while JAX transposes."""
    return x.astype(getattr(other, "aval", other).dtype)


class _Operation:
    """A JAX primitive that is linear in each of its arrays.

    Parameters
    ----------
    tensors
        Number of arrays; they are the first arguments, the others are static.
    run
        Computes it on NumPy arrays by the engine.
    shape
        Shape of the result, from the same arguments.
    rule
        Its adjoint in `gossamer.gradients`.
    batch
        Result for one batched operand, whose batch axis comes first, or None if it does not know
        how; called with the number of the operand and the arguments.
    dtype
        Name of the result's dtype, from the same arguments; by default the arrays'.
    """

    def __init__(
        self,
        tensors: int,
        run: Callable[..., Any],
        shape: Callable[..., tuple[int, ...]],
        rule: Callable[..., Array],
        batch: Callable[..., Array | None] | None = None,
        dtype: Callable[..., str] | None = None,
    ) -> None:
        self._tensors = tensors
        self._run = run
        self._shape = shape
        self._rule = rule
        self._batch = batch
        self._dtype = dtype
        self._primitive = primitive = Primitive(f"gossamer_{run.__name__}")
        primitive.def_impl(self._now)
        primitive.def_abstract_eval(self._abstract)
        mlir.register_lowering(primitive, self._lowering(self._callback))
        if run.__name__ in xla.CALLS:
            mlir.register_lowering(primitive, self._lowering(self._call), platform="cpu")
        ad.primitive_jvps[primitive] = self._jvp
        ad.primitive_transposes[primitive] = self._transpose
        batching.primitive_batchers[primitive] = self._batched

    def __call__(self, *arguments: Any) -> Array:
        arrays, static = arguments[: self._tensors], arguments[self._tensors :]
        return self._primitive.bind(*arrays, static=static)

    def _now(self, *arrays: Array, static: tuple[Any, ...]) -> Array:
        return jnp.asarray(self._on_host(static, *arrays))

    def _on_host(self, static: tuple[Any, ...], *arrays: Any) -> Any:
        return self._run(*(np.asarray(x) for x in arrays), *static)

    def _abstract(self, *arrays: Any, static: tuple[Any, ...]) -> Any:
        dtype = jnp.dtype(self._dtype(*arrays, *static)) if self._dtype else arrays[0].dtype
        return jax.core.ShapedArray(self._shape(*arrays, *static), dtype)

    def _lowering(self, program: Callable[..., Array]) -> Callable[..., Any]:
        lower = mlir.lower_fun(program, multiple_results=False)

        def lowering(ctx: Any, *arrays: Any, static: tuple[Any, ...]) -> Any:
            ctx.module_context.add_keepalive(static)
            return lower(ctx, *arrays, static=static)

        return lowering

    def _call(self, *arrays: Array, static: tuple[Any, ...]) -> Array:
        return xla.CALLS[self._run.__name__](*arrays, *static)

    def _callback(self, *arrays: Array, static: tuple[Any, ...]) -> Array:
        result = self._abstract(*arrays, static=static)
        result = jax.ShapeDtypeStruct(result.shape, result.dtype)
        return jax.pure_callback(partial(self._on_host, static), result, *arrays)

    def _jvp(self, arrays: Any, tangents: Any, static: tuple[Any, ...]) -> tuple[Array, Any]:
        terms = [
            self(*arrays[:i], tangent, *arrays[i + 1 :], *static)
            for i, tangent in enumerate(tangents)
            if type(tangent) is not ad.Zero
        ]
        return self(*arrays, *static), sum(terms[1:], terms[0])

    def _transpose(self, cotangent: Any, *arrays: Any, static: tuple[Any, ...]) -> list[Any]:
        if type(cotangent) is ad.Zero:
            return [ad.Zero(x.aval) if ad.is_undefined_primal(x) else None for x in arrays]
        ops = sys.modules[__name__]
        return [
            self._rule(ops, i, cotangent, *arrays, *static) if ad.is_undefined_primal(x) else None
            for i, x in enumerate(arrays)
        ]

    def _batched(self, arrays: Any, axes: Any, static: tuple[Any, ...]) -> tuple[Array, int]:
        first = [
            x if axis is None else jnp.moveaxis(x, axis, 0)
            for x, axis in zip(arrays, axes, strict=True)
        ]
        mapped = [i for i, axis in enumerate(axes) if axis is not None]
        if self._batch is not None and len(mapped) == 1:
            result = self._batch(mapped[0], *first, *static)
            if result is not None:
                return result, 0
        if len(first[mapped[0]]) == 0:
            one = (
                jax.ShapeDtypeStruct(x.shape[1:] if i in mapped else x.shape, x.dtype)
                for i, x in enumerate(first)
            )
            member = self._abstract(*one, static=static)
            return jnp.zeros((0, *member.shape), member.dtype), 0
        members = [
            self(*(x[k] if i in mapped else x for i, x in enumerate(first)), *static)
            for k in range(len(first[mapped[0]]))
        ]
        return jnp.stack(members), 0


@wraps(kernels.matmul)
def _matmul(values: Any, x: Any, pattern: Pattern, transpose: bool, swapped: bool) -> Any:
    # With the transposed positions, as compiled programs have them: the bits are the same.
    if transpose:
        pattern, index_map = pattern.transpose()
        values = kernels.segment_sum(values, Selection(pattern.nnz, index_map))
    return kernels.matmul(values, x, pattern, False, swapped)


def _matmul_shape(values: Any, x: Any, pattern: Pattern, *flags: bool) -> tuple[int, ...]:
    check_values(values, pattern.nnz)
    return kernels.matmul_shape(x.shape, pattern, *flags)


def _batched_matmul(
    operand: int, values: Array, x: Array, pattern: Pattern, transpose: bool, swapped: bool
) -> Array | None:
    # A batch of vectors is a matrix with a vector in each row.
    return matmul(values, x, pattern, transpose, swapped or x.ndim == 2) if operand else None


def _batched_packed(operand: int, x: Array, matrix: Any, transpose: bool, swapped: bool) -> Array:
    return packed_matmul(x, matrix, transpose, swapped or x.ndim == 2)


def _batched_tracked(
    operand: int, values: Array, x: Array, slots: Any, transpose: bool, swapped: bool
) -> Array | None:
    if operand == 0:
        return None
    return tracked_packed_matmul(values, x, slots, transpose, swapped or x.ndim == 2)


def _batched_verified(operand: int, values: Array, x: Array, matrix: Any) -> Array | None:
    return verified(values, x, matrix) if operand else None


matmul = _Operation(
    2,
    _matmul,
    _matmul_shape,
    gradients.matmul,
    _batched_matmul,
)
sddmm = _Operation(2, kernels.sddmm, lambda u, v, pattern: (pattern.nnz,), gradients.sddmm)
spgemm = _Operation(
    2, kernels.spgemm, lambda x, y, a, b, c, transpose_b: (c.nnz,), gradients.spgemm
)
segment_sum = _Operation(
    1, kernels.segment_sum, lambda values, selection: (selection.rows,), gradients.segment_sum
)
todense = _Operation(
    1, kernels.todense, lambda values, *static: kernels.dense_shape(*static), gradients.todense
)
sample = _Operation(
    1, kernels.sample, lambda dense, pattern, transposed: (pattern.nnz,), gradients.sample
)
packed_matmul = _Operation(
    1,
    kernels.packed_matmul,
    lambda x, matrix, *static: kernels.matmul_shape(x.shape, matrix, *static),
    gradients.packed_matmul,
    _batched_packed,
    lambda x, matrix, *static: matrix.result_dtype(x.dtype.name),
)
tracked_packed_matmul = _Operation(
    2,
    kernels.tracked_packed_matmul,
    lambda values, x, slots, *static: kernels.product_shape(x.shape, slots.shape, *static),
    gradients.tracked_packed_matmul,
    _batched_tracked,
    lambda values, x, *static: promote(values.dtype.name, x.dtype.name),
)
verified = _Operation(
    2,
    kernels.verified,
    lambda values, x, matrix: x.shape,
    lambda ops, operand, gradient, values, x, matrix: gradient,
    _batched_verified,
    lambda values, x, matrix: x.dtype.name,
)


def _register_pytree(container: type[SparseArray]) -> None:
    """Let JAX's transformations see the values of a container, and nothing else, as a leaf."""

    def flatten(a: SparseArray) -> tuple[tuple[Array], Any]:
        return (a.data,), a._structure

    def unflatten(structure: Any, leaves: tuple[Array]) -> SparseArray:
        return container._of_leaf(structure, leaves[0], adapter_of(leaves[0]) or adapter)

    jax.tree_util.register_pytree_node(container, flatten, unflatten)


def _flatten_packed(packed: PackedArray) -> tuple[tuple[Array], Any]:
    stored: Any = packed._storage
    data = packed.data
    if packed.scales is not None:
        return (_integers(data),), (stored.host, packed._transposed)
    return (data,), (None if packed.format == "dense" else stored.slots, packed._transposed)


def _unflatten_packed(structure: Any, leaves: tuple[Any]) -> PackedArray:
    kept, transposed = structure
    if isinstance(kept, PackedStorage):
        return PackedArray(_rounded(kept, *leaves), transposed=transposed)
    (data,) = leaves
    if kept is None:
        return PackedArray(DenseStorage(adapter, data), transposed=transposed)
    if kept.kept is not None and adapter_of(data) is adapter and data.ndim == 1:
        data = adapter.select(data, kept.kept)
    dtype = np.dtype(getattr(data, "dtype", object)).name  # transformations try what is no array
    return PackedArray(TrackedStorage(adapter, dtype, data, kept), transposed=transposed)


class _RoundedStorage(ForeignStorage):
    """A matrix whose rounded values are traced: programs verify that they are its own."""

    def todense(self, dtype_name: str) -> Array:
        return self._verified(super().todense(dtype_name))

    def tocsr(self, dtype_name: str) -> tuple[Pattern, Array]:
        pattern, values = super().tocsr(dtype_name)
        return pattern, self._verified(values)

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> Array:
        x = self.operand(x, transpose, swapped)
        return super().matmul(self._verified(x), transpose, swapped)

    def _verified(self, x: Array) -> Array:
        return verified(_integers(self.data), x, self.host)


def _integers(data: Array) -> Array:
    # Rounded values are no subject of derivatives: JAX knows that of integers.
    return data.view(jnp.uint8) if data.dtype == jnp.float8_e4m3fn else data


def _rounded(host: PackedStorage, leaf: Any) -> ForeignStorage:
    """Matrix of rounded values, whose leaf is these or what a transformation puts in their place.

    Raises ValueError if they are others.
    """
    # jax.device_get and NumPy's functions make leaves of NumPy; float0 ones are jax.grad's.
    if isinstance(leaf, jax.Array | np.ndarray) and leaf.dtype != jax.dtypes.float0:
        data = leaf.view(host.values.dtype)
        is_known = data.shape == host.values.shape
        if is_known and not isinstance(leaf, jax.core.Tracer):
            is_known = np.array_equal(np.asarray(leaf), host.values.view(leaf.dtype))
        if not is_known:
            raise ValueError(
                f"a packed array of {host.dtype_name} got other values as a leaf, of shape "
                f"{tuple(leaf.shape)}: they are rounded and stay as they are; pack it as float32, "
                f"float16 or bfloat16"
            )
        if isinstance(leaf, jax.core.Tracer):
            return _RoundedStorage(adapter, host, data)
        leaf = data
    return ForeignStorage(adapter, host, leaf)


adapter = JAXAdapter()
for _container in (containers.CSRArray, containers.CSCArray, containers.COOArray):
    _register_pytree(_container)
jax.tree_util.register_pytree_node(PackedArray, _flatten_packed, _unflatten_packed)
