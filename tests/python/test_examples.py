# SPDX-License-Identifier: Apache-2.0
"""The examples run as a user runs them, and find what theory says."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import gossamer
import numpy as np
import pytest

pytest.importorskip("scipy")
EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))  # as for a script, which finds its neighbours


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, *arguments):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ)


def missing_gpu():
    """What use_gpu() says is missing, or None."""
    try:
        gossamer.use_gpu()
    except RuntimeError as error:
        return str(error)
    gossamer.use_cpu()
    return None


quantum = load("quantum_hamiltonian")
layer = load("sparse_linear_layer")
training = load("train_sparse_layer")

every_backend = pytest.mark.parametrize("backend", ["torch", "mlx", "jax"])


def backend_or_skip(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return training.load_backend(name)


def pauli_chain(n_qubits, field, periodic):
    """The Hamiltonian from its definition, as a dense sum of Kronecker products."""
    x, z, one = np.array([[0, 1], [1, 0]]), np.diag([1, -1]), np.eye(2)

    def on_sites(matrix, *sites):
        product = np.eye(1)
        for site in range(n_qubits):
            product = np.kron(matrix if site in sites else one, product)
        return product

    H = -field * sum(on_sites(x, site) for site in range(n_qubits))
    for site in range(n_qubits if periodic else n_qubits - 1):
        H = H - on_sites(z, site) @ on_sites(z, (site + 1) % n_qubits)
    return H


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("n_qubits", [1, 2, 3, 6])
def test_hamiltonian_is_the_sum_of_pauli_products(n_qubits, periodic):
    H = quantum.transverse_field_ising(n_qubits, 0.7, periodic)
    assert H.nnz == (n_qubits + 1) << n_qubits
    np.testing.assert_array_equal(H.todense(), pauli_chain(n_qubits, 0.7, periodic))


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("field", [-0.8, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("n_qubits", [1, 2, 3, 7, 8, 11])
def test_ground_state_has_the_energy_of_free_fermions(n_qubits, field, periodic):
    H = quantum.transverse_field_ising(n_qubits, field, periodic)
    exact = quantum.exact_ground_energy(n_qubits, field, periodic)
    assert quantum.ground_state_energy(H) == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("n_qubits", [2, 5])
def test_exact_energy_is_the_lowest_eigenvalue(n_qubits, periodic):
    lowest = np.linalg.eigvalsh(pauli_chain(n_qubits, 0.6, periodic))[0]
    assert quantum.exact_ground_energy(n_qubits, 0.6, periodic) == pytest.approx(lowest, rel=1e-12)


def test_infinite_chain_at_the_transition():
    # -4 / pi a site: Pfeuty 1970.
    assert quantum.exact_ground_energy(4000, 1.0, True) / 4000 == pytest.approx(
        -4 / np.pi, rel=1e-6
    )


def test_quantum_hamiltonian_prints_the_exact_energy():
    result = run("quantum_hamiltonian", "--qubits", "8", "--field", "0.7", "--device", "cpu")
    assert result.returncode == 0, result.stderr
    exact = f"{quantum.exact_ground_energy(8, 0.7):.6f}"
    assert result.stdout.count(exact) == 2


def test_quantum_hamiltonian_refuses_what_does_not_fit():
    result = run("quantum_hamiltonian", "--qubits", "40")
    assert result.returncode == 2
    assert "--qubits: 40 is not in 1..26" in result.stderr


@pytest.mark.parametrize("name", ["quantum_hamiltonian", "sparse_linear_layer"])
def test_missing_gpu_is_told_in_one_line(name):
    reason = missing_gpu()
    if reason is None:
        pytest.skip("this machine has a GPU")
    result = run(name, "--device", "gpu")
    assert result.returncode == 2
    assert result.stderr == f"{reason}\n"


def test_block_sparse_weight_has_bidiagonal_blocks():
    W = layer.block_sparse_weight(12, 3)
    block = np.eye(4) + 0.25 * np.eye(4, k=1)
    np.testing.assert_array_equal(W.todense(), np.kron(np.eye(3), block))
    assert layer.block_sparse_weight(64, 8).nnz == 120


def test_block_sparse_weight_names_the_blocks_that_do_not_divide():
    with pytest.raises(ValueError, match="blocks = 7 does not divide features = 64"):
        layer.block_sparse_weight(64, 7)


def test_sparse_linear_layer_agrees_with_the_dense_layer():
    result = run("sparse_linear_layer", "--features", "64", "--blocks", "8", "--batch", "4")
    assert result.returncode == 0, result.stderr
    assert "y = W @ x: shape (4, 64, 1)" in result.stdout
    assert "gradient by x: shape (4, 64, 1)" in result.stdout
    errors = [float(number) for number in re.findall(r"\d\.\de[+-]\d+", result.stdout)]
    assert len(errors) == 2
    assert max(errors) < 1e-5


def test_sparse_linear_layer_refuses_blocks_that_do_not_divide():
    result = run("sparse_linear_layer", "--features", "64", "--blocks", "7")
    assert result.returncode == 2
    assert "argument --blocks: 7 does not divide 64 features" in result.stderr


@every_backend
def test_examples_agree_with_every_backend(backend):
    backend_or_skip(backend)
    energy = run("quantum_hamiltonian", "--qubits", "8", "--backend", backend)
    assert energy.returncode == 0, energy.stderr
    assert energy.stdout.count(f"{quantum.exact_ground_energy(8, 0.7):.6f}") == 2
    gradient = run("sparse_linear_layer", "--backend", backend)
    assert gradient.returncode == 0, gradient.stderr
    errors = [float(number) for number in re.findall(r"\d\.\de[+-]\d+", gradient.stdout)]
    assert len(errors) == 2
    assert max(errors) < 1e-5


@every_backend
def test_training_finds_the_values(backend):
    truth = training.heat_step(np.full(30, 0.3))
    np.testing.assert_allclose(truth.todense().sum(axis=1), 1)
    fitted = training.fit(truth, 300, 0.01, 40, 0.8, backend_or_skip(backend))
    losses, errors = zip(*(row[1:] for row in fitted), strict=True)
    assert losses[-1] < 1e-3 * losses[0]
    assert errors[0] > 0.3
    assert errors[-1] < 0.01  # four standard errors, 0.01 / sqrt(300) each, and room
