# SPDX-License-Identifier: Apache-2.0
"""What each sparse format says of itself; all else follows from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from ..arrays import Adapter, Array
from ..structure import CooPattern, Indices, Pattern, check_values

if TYPE_CHECKING:
    from .base import SparseArray
    from .coo import COOArray
    from .csc import CSCArray
    from .csr import CSRArray

Self = TypeVar("Self", bound="SparseFormat")


def check_format(function: str, format: str) -> None:
    """Raise ValueError unless it is that of a container."""
    if format not in ("csr", "csc", "coo"):
        raise ValueError(f"{function}: format = {format!r}, expected 'csr', 'csc' or 'coo'")


class SparseFormat(ABC):
    """Stored positions and values of a matrix, and its conversions to the other formats."""

    __slots__ = ()

    #: "csr", "csc" or "coo".
    format: ClassVar[str]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""

    @property
    @abstractmethod
    def has_sorted_indices(self) -> bool:
        """Whether the stored positions are known to be in order."""

    @property
    @abstractmethod
    def has_canonical_format(self) -> bool:
        """Whether they are known to be in order, no position stored twice."""

    @property
    @abstractmethod
    def index_dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of the index arrays, int32 or int64, whatever framework the values are of.

        ``repr`` writes it as that framework writes its own dtypes.
        """

    @property
    @abstractmethod
    def T(self) -> SparseArray:
        """The transpose, sharing all arrays: CSR becomes CSC, CSC CSR, COO COO."""

    def tocsr(self, canonical: bool = False, copy: bool = False) -> CSRArray:
        """Convert to CSR; itself where nothing is to be done.

        Parameters
        ----------
        canonical
            Sum entries of one position and sort every row by column. Otherwise duplicates are kept.
        copy
            Copy the values, so that they may be written to. Otherwise they are shared with A where
            they stay in place, and read-only where they were moved.
        """
        csr = self._to_csr(canonical)
        return csr.copy() if copy else csr

    def tocsc(self, canonical: bool = False, copy: bool = False) -> CSCArray:
        """Convert to CSC; see `tocsr`."""
        csc = self._to_csc(canonical)
        return csc.copy() if copy else csc

    def tocoo(self, canonical: bool = False, copy: bool = False) -> COOArray:
        """Convert to COO, with ``canonical`` in row-major order and without duplicates."""
        coo = self._to_coo(canonical)
        return coo.copy() if copy else coo

    @abstractmethod
    def _to_csr(self, canonical: bool) -> CSRArray:
        """Convert as `tocsr` does; so do the next two."""

    @abstractmethod
    def _to_csc(self, canonical: bool) -> CSCArray: ...

    @abstractmethod
    def _to_coo(self, canonical: bool) -> COOArray: ...

    @abstractmethod
    def todense(self) -> Array:
        """Return the matrix as a dense array of shape `shape`; duplicates are summed."""

    @abstractmethod
    def _csr(self) -> CSRArray:
        """Return the matrix in CSR, from what is cached where that is built anyway."""

    @abstractmethod
    def _by_rows(self) -> tuple[Pattern, Array]:
        """Pattern and values in CSR order."""

    @abstractmethod
    def _by_cols(self) -> tuple[Pattern, Array]:
        """Pattern and values of the transpose in CSR order."""

    @abstractmethod
    def _stored(self) -> tuple[Pattern, Array, bool]:
        """Pattern and values with as little moved as the format allows; whether they are of A.T."""

    @property
    @abstractmethod
    def _structure(self) -> Pattern | CooPattern:
        """All stored positions, in the format's own order."""

    @classmethod
    def _of(cls: type[Self], structure: Any, data: Array, arrays: Adapter) -> Self:
        """Container of values at the positions of a `_structure`."""
        return cls(structure, data, arrays)  # type: ignore[call-arg]

    @classmethod
    def _of_leaf(cls: type[Self], structure: Any, leaf: Any, arrays: Adapter) -> Self:
        """Container of a pytree's leaf, which may be no array, or have the axes of a batch."""
        if getattr(leaf, "ndim", 0) == 1:
            check_values(leaf, structure.nnz)
        return cls._of(structure, leaf, arrays)

    @abstractmethod
    def _with_data(self: Self, data: Array, arrays: Adapter | None = None) -> Self:
        """Return the same positions with other values, of another framework if one is given."""

    @abstractmethod
    def _index_arrays(self) -> tuple[Indices, Indices]:
        """Index arrays in the order that this format's constructor function takes them."""
