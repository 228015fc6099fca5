// SPDX-License-Identifier: Apache-2.0
#include "module.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "exchange.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/simd.hpp"
#include "gossamer/threads.hpp"
#include "patterns.hpp"

namespace nb = nanobind;
using namespace gossamer;

NB_MODULE(_engine, m) {
  // What PyTorch's caches hold at the interpreter's end is not ours to report.
  nb::set_leak_warnings(false);
  m.doc() = "The C++ engine: operations on views of arrays that Python owns.";

  nb::register_exception_translator([](const std::exception_ptr& error, void*) {
    try {
      std::rethrow_exception(error);
    } catch (const InvalidDType& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    }  // InvalidArgument is a std::invalid_argument, which nanobind makes a ValueError
  });

  nb::class_<python::PyCsrPattern>(m, "CsrPattern",
                                   "Row offsets and column indices, borrowed from two arrays.")
      .def(nb::init<std::int64_t, std::int64_t, python::InputArray, python::InputArray>(),
           nb::arg("rows"), nb::arg("cols"), nb::arg("indptr"), nb::arg("indices"))
      .def("use_runs", &python::PyCsrPattern::use_runs, nb::arg("starts"), nb::arg("runs"),
           "Keep what find_runs wrote; the first call counts.")
      .def_prop_ro(
          "address",
          [](const python::PyCsrPattern& p) { return reinterpret_cast<std::intptr_t>(&p.view); },
          "Where the engine's view is, for as long as this object lives.");

  m.def("num_threads", &num_threads, "Threads that an operation may use.");
  m.def("set_num_threads", &set_num_threads, nb::arg("count"));
  m.def(
      "use_openmp",
      [](std::uintptr_t parallel) {
        return reinterpret_cast<std::uintptr_t>(
            use_openmp(reinterpret_cast<OpenMpParallel>(parallel)));
      },
      nb::arg("parallel"),
      "Run this thread's operations on the team whose GOMP_parallel is at that address; 0: on own "
      "threads. Returns what they ran on before.");
  m.def("simd_target", &simd_target, "Instruction set in use.");
  m.def("supported_simd_targets", &supported_simd_targets, "Those that run here, best first.");
  m.def(
      "set_simd_target", [](const std::string& target) { set_simd_target(target); },
      nb::arg("target"));
  m.def(
      "has_exchange_api", [](nb::handle array) { return python::described(array).has_value(); },
      nb::arg("array"), "Whether an array describes itself in C, by DLPack's exchange API 1.");

  python::bind_matmul(m);
  python::bind_packed(m);
  python::bind_plain(m);
  python::bind_reductions(m);
  python::bind_results(m);
  python::bind_sddmm(m);
  python::bind_spgemm(m);
  python::bind_structure(m);
  python::bind_values(m);
  python::bind_xla(m);
}
