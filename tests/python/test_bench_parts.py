# SPDX-License-Identifier: Apache-2.0
"""What the console command measures with: matrices, operations, timings, bars."""

import json
import os
import re
import threading
import time

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
from gossamer.cli import machine, matrices
from gossamer.cli.bench.bars import evaluate_bars, geometric_mean, geometric_means
from gossamer.cli.bench.operations import OPERATIONS, Case, Operation, product_bytes, with_dtype
from gossamer.cli.bench.peers import open_libraries
from gossamer.cli.bench.plots import _operation_label
from gossamer.cli.timing import Effort, first_call, interleave, spread_threads
from scipy import sparse

# The matrices


SMALL = {
    "banded": lambda: matrices.banded(30, 2),
    "poisson_2d": lambda: matrices.poisson_2d(7),
    "trilinear_3d": lambda: matrices.trilinear_3d(4),
    "ising_chain": lambda: matrices.ising_chain(5, 0.7),
    "uniform": lambda: matrices.uniform(200, 100, 0.05),
    "power_law": lambda: matrices.power_law(8, 6),
}


@pytest.mark.parametrize("name", SMALL)
def test_matrix_is_canonical(name):
    A = SMALL[name]()
    unchecked = sparse.csr_array((A.data, A.indices, A.indptr), shape=A.shape)
    unchecked.check_format(full_check=True)
    assert unchecked.has_canonical_format
    assert A.indices.dtype == A.indptr.dtype == np.int32
    assert A.dtype == np.float64


def test_poisson_is_the_kronecker_sum():
    line = sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(7, 7))
    expected = sparse.kron(line, sparse.eye_array(7)) + sparse.kron(sparse.eye_array(7), line)
    np.testing.assert_array_equal(matrices.poisson_2d(7).toarray(), expected.toarray())


def test_trilinear_elements_are_sums_of_tensor_products():
    mass, stiffness = (
        sparse.diags_array(values, offsets=[-1, 0, 1], shape=(4, 4))
        for values in (np.array([1, 4, 1]) / 6, [-1.0, 2.0, -1.0])
    )
    factors = [(mass, mass, mass), (stiffness, mass, mass), (mass, stiffness, mass)]
    expected = sum(
        sparse.kron(sparse.kron(a, b), c).toarray()
        for a, b, c in [*factors, (mass, mass, stiffness)]
    )
    np.testing.assert_allclose(matrices.trilinear_3d(4).toarray(), expected, atol=1e-14)


def test_ising_chain_has_the_exact_ground_state():
    lowest = np.linalg.eigvalsh(matrices.ising_chain(6, 0.7).toarray())[0]
    assert matrices.exact_ising_energy(6, 0.7) == pytest.approx(lowest, rel=1e-13)


def test_uniform_has_the_density_asked_for():
    A = matrices.uniform(1000, 2000, 0.01)
    assert abs(A.nnz - 20_000) < 6 * np.sqrt(20_000)
    assert np.bincount(A.indices, minlength=2000).max() < 40


def test_power_law_graph_has_heavy_rows():
    lengths = np.diff(matrices.power_law(10, 12).indptr)
    assert lengths.max() > 10 * lengths.mean()


def test_matrix_set_covers_every_family_with_unique_names():
    members = matrices.matrix_set()
    assert len({member.name for member in members}) == len(members)
    assert {member.family for member in members if member.quick} <= {m.family for m in members}
    assert {"banded", "FEM", "power-law graph", "Hamiltonian", "uniform", "rectangular"} <= {
        member.family for member in members
    }


# Operations and their check


def test_the_plot_has_a_name_for_every_operation():
    labels = [_operation_label(operation.name) for operation in OPERATIONS]
    assert len(set(labels)) == len(OPERATIONS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.kind != "galerkin"],  # it needs grids
    ids=lambda operation: operation.name,
)
@pytest.mark.parametrize("name", ["uniform", "ising_chain", "power_law"])
def test_gossamer_passes_the_check_of_every_operation(name, operation, dtype):
    case = Case(with_dtype(SMALL[name](), dtype), operation)
    (library,) = open_libraries([])[0]
    case.check(library, case.call(library, library.matrix(case.A))())


@pytest.mark.parametrize("kind", ["spmv", "spgemm", "coo_to_csr"])
def test_check_finds_a_wrong_result(kind):
    A = SMALL["uniform"]()
    case = Case(A, Operation(kind))
    library = open_libraries(["scipy"])[0][1]
    result = case.call(library, A)()
    case.check(library, result)
    with pytest.raises(ValueError, match=r"more than rounding|differs"):
        case.check(library, result * (1 + 1e-6))


def test_rules_leave_out_what_makes_no_sense():
    def left_out(A, kind, columns=1):
        return Case(A, Operation(kind, columns)).left_out

    dense = matrices.uniform(300, 300, 0.3)
    assert left_out(dense, "spgemm")
    assert not left_out(matrices.banded(300, 2), "spgemm")
    grid = matrices.poisson_2d(800)
    assert left_out(grid, "spmm", 1000)
    assert not left_out(grid, "spmm", 64)


def test_product_bytes_counts_every_operand_once():
    A = matrices.banded(100, 0)
    assert product_bytes(A) == 100 * 8 + 100 * 4 + 101 * 4 + 2 * 100 * 8


# Timing and the bars


def test_interleave_runs_every_contender_in_every_round():
    calls = []
    contenders = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    first = {name: first_call(call)[1] for name, call in contenders.items()}
    effort = Effort(seconds=0, rounds=4, sample_seconds=0, pause=0)
    timings = interleave(contenders, first, effort)
    assert all(timing.rounds == 4 for timing in timings.values())
    assert all(0 < timing.fastest <= timing.median for timing in timings.values())
    # The first call, two that find the number of repeats, then rounds that begin in turn.
    assert "".join(calls) == "abc" + "aabbcc" + "abc" + "bca" + "cab" + "abc"


def test_interleave_calls_all_once_before_each_sample_where_one_is_repeated():
    calls = []
    contenders = {
        "short": lambda: calls.append("s"),
        "long": lambda: (time.sleep(2e-3), calls.append("l")),
    }
    effort = Effort(seconds=0, rounds=1, sample_seconds=1e-3, pause=0)
    interleave(contenders, {"short": 1e-6, "long": 2e-3}, effort)
    assert calls.count("l") == 2 + 2


def test_threads_are_spread_over_the_processors_while_they_are_timed():
    allowed = os.sched_getaffinity(0)
    if len(allowed) == 1:
        pytest.skip("one processor")
    done = threading.Event()
    other, bound, later = (threading.Thread(target=done.wait) for _ in range(3))
    other.start()
    bound.start()
    os.sched_setaffinity(bound.native_id, {min(allowed)})
    try:
        with spread_threads():
            own, others = os.sched_getaffinity(0), os.sched_getaffinity(other.native_id)
            assert own == os.sched_getaffinity(bound.native_id) == {min(allowed)}
            assert others == allowed - own
            later.start()
        for thread in (other, later):
            assert os.sched_getaffinity(0) == os.sched_getaffinity(thread.native_id) == allowed
        assert os.sched_getaffinity(bound.native_id) == own
    finally:
        done.set()
        for thread in (other, bound, later):
            if thread.ident is not None:
                thread.join()


def test_threads_are_left_alone_where_they_cannot_be_spread(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    with spread_threads():
        pass


def test_interleave_lets_the_threads_of_the_contender_before_go_to_sleep():
    def spin():
        until = time.perf_counter() + 0.1
        while time.perf_counter() < until:
            pass

    def leave_spinning():
        threading.Thread(target=spin).start()

    others = []
    contenders = {
        "spins": leave_spinning,
        "follows": lambda: others.append(threading.active_count()),
    }
    alone = threading.active_count()
    effort = Effort(seconds=0, rounds=2, sample_seconds=0, pause=0.02)
    interleave(contenders, dict.fromkeys(contenders, 1e-6), effort)
    assert others == [alone] * 4


def test_results_say_which_processor_mkl_sees():
    libraries, notes = open_libraries(["mkl"])
    if notes:
        pytest.skip(notes[0])
    assert re.match(r"\d+\.\d+ for .*processors", libraries[-1].version)


def case_of(operation, matrix="m", threads=2, fraction=None, **speedup):
    return {
        "operation": operation,
        "matrix": matrix,
        "dtype": "float64",
        "threads": threads,
        "beyond_cache": fraction is not None,
        "streams": True,
        "bandwidth_fraction": fraction,
        "speedup": {"scipy": 1.0, "mkl": 1.0, **speedup},
    }


STARTUP = {"gossamer_seconds_above_numpy": 0.02, "frameworks_loaded": []}


def test_geometric_means_are_grouped_by_peer_threads_and_size():
    cases = [case_of("spmv", scipy=2.0), case_of("spmv", scipy=8.0), case_of("spmv", fraction=0.5)]
    means = {(m["peer"], m["beyond_cache"]): m for m in geometric_means(cases)}
    assert means["scipy", False]["geometric_mean"] == pytest.approx(4.0)
    assert means["scipy", False]["lowest"] == 2.0
    assert means["scipy", True]["cases"] == 1
    assert np.isnan(geometric_mean([]))


def test_bars_pass_and_fail():
    cases = [
        case_of("spmv", "large", scipy=3.0, mkl=1.2, fraction=0.7),
        case_of("spmv", "slow", scipy=3.0, mkl=0.85, fraction=0.5),
        case_of("spgemm", scipy=2.5, mkl=1.0, mkl_ordered=0.8),
    ]
    bars = {bar["bar"]: bar for bar in evaluate_bars(cases, STARTUP)}
    assert bars["SpMV beyond the cache: geometric mean over scipy, 2 threads"]["passed"] is True
    lowest = bars["SpMV beyond the cache: lowest over mkl, 2 threads"]
    assert lowest["passed"] is False
    assert lowest["worst"] == "slow float64 0.85"
    share = bars["SpMV of bands, FEM, long rows: lowest bandwidth share, 2 threads"]
    assert (share["measured"], share["passed"]) == (0.5, False)
    assert bars["SpMM, 16 columns: lowest over mkl, 2 threads"]["passed"] is None
    assert bars["SpGEMM: geometric mean over scipy, 2 threads"]["passed"] is True
    assert bars["SpGEMM: lowest over mkl_ordered, 2 threads"]["passed"] is False


def test_import_bar_fails_where_a_framework_was_loaded():
    startup = {"gossamer_seconds_above_numpy": 0.02, "frameworks_loaded": ["torch"]}
    assert evaluate_bars([], STARTUP)[-1]["passed"] is True
    assert evaluate_bars([], startup)[-1]["passed"] is False


def test_machine_is_described():
    described = machine.describe_machine()
    assert described["memory_bytes"] > 1 << 20
    assert machine.last_level_cache() >= 1 << 15
    json.dumps(described)
