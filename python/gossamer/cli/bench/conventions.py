# SPDX-License-Identifier: Apache-2.0
"""What the benchmark leaves out, and what it counts. Both are written into its results."""

from __future__ import annotations

SPMM_COLUMNS = (1, 4, 16, 64, 256)
BATCH = 8

MAX_DENSE_FLOPS = 2e9
MAX_SPARSE_PRODUCTS = 5e7
MAX_SPGEMM_FILL = 0.25
MAX_TRIPLETS = 1e7

GIVE_UP_SECONDS = 0.5
GIVE_UP_RATIO = 4
ALWAYS_REPEATED = ("gossamer", "scipy", "mkl")

BEYOND_CACHE_OPERATIONS = ("spmv", "spmm-16")

RULES = [
    f"A product with a dense operand is left out above {MAX_DENSE_FLOPS:.0e} flops.",
    f"A sparse product is left out above {MAX_SPARSE_PRODUCTS:.0e} elementary products, and where"
    f" they exceed {MAX_SPGEMM_FILL:.0%} of the result's positions: it is better stored dense.",
    f"COO to CSR is left out above {MAX_TRIPLETS:.0e} triplets.",
    f"A library besides {', '.join(ALWAYS_REPEATED)} whose first call takes over"
    f" {GIVE_UP_SECONDS:g} s and {GIVE_UP_RATIO} times Gossamer's is not called again.",
    "A matrix larger than a sixteenth of the memory is left out.",
    "A run may be gone on from with a later version: each case names the commit that it measured.",
    "Matrices beyond the last-level cache are read from memory; all smaller ones are timed hot.",
    f"Beyond the cache only {' and '.join(BEYOND_CACHE_OPERATIONS)} are measured, the latter with"
    " the largest number of threads.",
]

COUNTED = {
    "spmv": "A @ x into a new array. MKL: handle made, hinted and optimized before the timing.",
    "spmm": "A @ X, X row-major, into a new row-major array. MKL as for spmv.",
    "transposed": "A.T @ X. What a library prepares in its first call and keeps is not counted"
    " (first_seconds has it). MKL: handle hinted and optimized for the transposed operation.",
    "batched_vectors": f"A @ X, X of shape ({BATCH}, cols, 1), into ({BATCH}, rows, 1). SciPy,"
    " MKL, PyTorch: the vectors are copied side by side, multiplied at once and copied back."
    " GraphBLAS: one product a member.",
    "batched_matrices": f"A @ X, X of shape ({BATCH}, cols, 16), into ({BATCH}, rows, 16)."
    " SciPy, MKL, PyTorch: one product a member, copied into one array. GraphBLAS: likewise, not"
    " copied.",
    "spgemm": "A @ A, or A @ A.T of a rectangular matrix (its transpose made before the timing),"
    " from CSR to CSR. MKL: handles of the operands and the product; its result is neither sorted"
    " nor copied out (mkl_ordered: sorted by mkl_sparse_order). SciPy's is not sorted."
    " Gossamer's is sorted.",
    "galerkin": "R (A P), both sparse products as in spgemm, P the interpolation from a grid of"
    " every second point and R its transpose, made before the timing.",
    "coo_to_csr": "All entries in random order, none twice, int32 indices (int64 where a library"
    " takes no other), to CSR with sorted rows and duplicates summed. MKL: handle, conversion and"
    " sort; its result is not copied out, and it does not sum duplicates.",
}
