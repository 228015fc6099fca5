#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ground state of the transverse-field Ising chain.

The Hamiltonian of n spins, coupled along the chain and turned by a field h,

    H = -sum_i Z_i Z_{i+1} - h sum_i X_i,

is a sparse matrix over the 2**n basis states: the coupling is its diagonal, and each spin flip adds
one entry to every row. SciPy's Lanczos solver finds the lowest eigenvalue with Gossamer's product,
and free fermions give the exact answer to compare with.

    python examples/quantum_hamiltonian.py --qubits 16 --field 0.7
"""

import argparse
import sys
import time

import gossamer
import numpy as np
from backends import BACKENDS, load_backend
from scipy.sparse.linalg import LinearOperator, eigsh


def transverse_field_ising(n_qubits, field, periodic=False, dtype=np.float64, array=np.asarray):
    """Hamiltonian of an Ising chain in a transverse field.

    Parameters
    ----------
    n_qubits : int
        Length of the chain, 1 to 26.
    field : float
        Transverse field in units of the coupling.
    periodic : bool
        Whether the last spin couples to the first.
    dtype : dtype
        Of the matrix elements.
    array : callable
        Makes the framework's array of a NumPy array.

    Returns
    -------
    gossamer.CSRArray
        Shape (2**n_qubits, 2**n_qubits) with n_qubits + 1 entries a row. Bit i of a row's number is
        spin i.
    """
    states = np.arange(1 << n_qubits, dtype=np.int32)
    spins = [2 * (states >> site & 1) - 1 for site in range(n_qubits)]
    neighbours = spins[1:] + spins[:1] if periodic else spins[1:]
    energy = np.zeros(states.size, dtype=dtype)
    for spin, neighbour in zip(spins, neighbours, strict=False):
        energy -= spin * neighbour

    flipped = [states ^ (1 << site) for site in range(n_qubits)]
    values = np.concatenate([energy, np.full(n_qubits * states.size, -field, dtype=dtype)])
    rows = np.tile(states, n_qubits + 1)
    cols = np.concatenate([states, *flipped])
    shape = (states.size, states.size)
    return gossamer.coo_array((array(values), (rows, cols)), shape=shape).tocsr(canonical=True)


def exact_ground_energy(n_qubits, field, periodic=False):
    """Ground state energy of the chain by free fermions.

    The Jordan-Wigner transformation gives site j two Majorana operators, a_j = S_j Z_j and
    b_j = S_j Y_j with S_j the product of all X before it, so that X_j = i a_j b_j and
    Z_j Z_{j+1} = i b_j a_{j+1}. The open chain is then the quadratic form

        H = i sum_jk b_j M_jk a_k,   M_jj = h,   M_{j,j+1} = -1.

    The singular value decomposition of M takes it apart into n independent terms i s_k b'_k a'_k
    with eigenvalues +-s_k, so that the lowest energy is -sum_k s_k.

    The bond that closes a periodic chain adds M_n1 = P, the product of all X. The ground state has
    P = +1 (for h > 0; turning all spins about z changes the sign of h and no energy), opposite in
    sign to the other bonds, so that the momenta of the fermions are k = (2m + 1) pi / n and the
    singular values of M are |h - exp(ik)|.

    Sources: E. Lieb, T. Schultz, D. Mattis, Annals of Physics 16, 407 (1961); P. Pfeuty, Annals of
    Physics 57, 79 (1970).
    """
    if periodic:
        momenta = (2 * np.arange(n_qubits) + 1) * np.pi / n_qubits
        return -np.abs(abs(field) - np.exp(1j * momenta)).sum()
    form = field * np.eye(n_qubits) - np.eye(n_qubits, k=1)
    return -np.linalg.svd(form, compute_uv=False).sum()


def ground_state_energy(H, backend=None):
    """Lowest eigenvalue of H by SciPy's Lanczos iteration with Gossamer's product."""
    operator = H
    if backend is not None:  # SciPy's vectors are NumPy's
        dtype = backend.numpy(H.data).dtype

        def product(x):
            return backend.numpy(H @ backend.array(np.ascontiguousarray(x.reshape(-1))))

        operator = LinearOperator(H.shape, matvec=product, dtype=dtype)
    start = np.random.default_rng(0).standard_normal(H.shape[0]).astype(operator.dtype)
    return eigsh(operator, k=1, which="SA", v0=start, return_eigenvectors=False)[0]


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Ground state of the transverse-field Ising chain."
    )
    parser.add_argument("--qubits", type=int, default=8, help="length of the chain, 1 to 26")
    parser.add_argument("--field", type=float, default=0.7, help="in units of the coupling")
    parser.add_argument("--periodic", action="store_true", help="couple the last spin to the first")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="whose arrays")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args = parser.parse_args()
    if not 1 <= args.qubits <= 26:
        parser.error(f"argument --qubits: {args.qubits} is not in 1..26")
    try:
        device = gossamer.use_gpu() if args.device == "gpu" else gossamer.use_cpu()
        backend = load_backend(args.backend)
    except (ImportError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2

    n, kind = args.qubits, "periodic" if args.periodic else "open"
    print(f"{kind} chain of {n} qubits, field {args.field:g}, on {device}")
    start = time.perf_counter()
    H = transverse_field_ising(n, args.field, args.periodic, args.dtype, backend.array)
    print(f"built in {time.perf_counter() - start:.3f} s: {H}")

    psi = np.full(H.shape[0], H.shape[0] ** -0.5, dtype=args.dtype)
    print(f"uniform superposition <H> = {psi @ backend.numpy(H @ backend.array(psi)):.6f}")
    start = time.perf_counter()
    energy = ground_state_energy(H, None if args.backend == "numpy" else backend)
    seconds = time.perf_counter() - start
    print(f"ground state          E   = {energy:.6f}, {energy / n:.6f} a site, in {seconds:.3f} s")
    print(f"exact                 E   = {exact_ground_energy(n, args.field, args.periodic):.6f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
