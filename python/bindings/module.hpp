// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

namespace gossamer::python {

void bind_matmul(nanobind::module_& m);
void bind_packed(nanobind::module_& m);
void bind_plain(nanobind::module_& m);
void bind_reductions(nanobind::module_& m);
void bind_results(nanobind::module_& m);
void bind_sddmm(nanobind::module_& m);
void bind_spgemm(nanobind::module_& m);
void bind_structure(nanobind::module_& m);
void bind_values(nanobind::module_& m);
void bind_xla(nanobind::module_& m);

}  // namespace gossamer::python
