// SPDX-License-Identifier: Apache-2.0
#include "ops/spgemm/spgemm.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>

#include "core/message.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/spgemm.hpp"
#include "ops/spgemm/spgemm_tuning.hpp"

namespace gossamer {
namespace {

void check_values(std::string_view operation, const CsrView& a, const CsrView& b) {
  if (a.dtype != b.dtype) {
    throw InvalidDType(message(operation, ": A is ", name(a.dtype), " and B ", name(b.dtype),
                               "; both must be the same"));
  }
  visit_value(a.dtype, "A", [](auto) {});
}

void check_indices(std::string_view operation, const CsrPattern& a, const CsrPattern& b) {
  if (a.index_dtype != b.index_dtype) {
    throw InvalidDType(message(operation, ": A has ", name(a.index_dtype), " indices and B ",
                               name(b.index_dtype), "; both must be the same"));
  }
  visit_index(a.index_dtype, "A's indices", [](auto) {});
}

std::string shape_text(const CsrPattern& pattern) {
  return message("(", pattern.rows, ", ", pattern.cols, ")");
}

}  // namespace

void check_spgemm(const CsrPattern& a, const CsrPattern& b) {
  if (a.cols != b.rows) {
    throw InvalidArgument(message("spgemm: A has shape ", shape_text(a), " and B ", shape_text(b),
                                  "; B must have as many rows as A has columns"));
  }
  check_indices("spgemm", a, b);
}

void check_spgemm_values(const CsrView& a, const CsrView& b) {
  check_spgemm(a.pattern, b.pattern);
  check_values("spgemm", a, b);
}

void check_spgemm_columns(std::int64_t columns, DType c_index_dtype) {
  visit_index(c_index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    if (columns - 1 > static_cast<std::int64_t>(std::numeric_limits<I>::max())) {
      throw InvalidArgument(message("spgemm: ", columns, " columns do not fit ",
                                    name(c_index_dtype), " indices; use int64"));
    }
  });
}

void check_spgemm_fill(const CsrView& a, const CsrView& b, const SpgemmResult& c) {
  check_spgemm(a.pattern, b.pattern);
  if (c.values != nullptr) check_values("spgemm", a, b);
  check_spgemm_columns(b.pattern.cols, c.index_dtype);
}

void check_spgemm_masked(const CsrView& a, const CsrView& b, const CsrPattern& mask,
                         bool transpose_b) {
  const std::int64_t inner = transpose_b ? b.pattern.cols : b.pattern.rows;
  const std::int64_t cols = transpose_b ? b.pattern.rows : b.pattern.cols;
  if (a.pattern.cols != inner || mask.rows != a.pattern.rows || mask.cols != cols) {
    throw InvalidArgument(message("spgemm_masked: A has shape ", shape_text(a.pattern),
                                  transpose_b ? ", transposed B " : ", B ", shape_text(b.pattern),
                                  " and mask ", shape_text(mask),
                                  "; mask must have the product's shape"));
  }
  check_indices("spgemm_masked", a.pattern, b.pattern);
  check_values("spgemm_masked", a, b);
  if (mask.index_dtype != a.pattern.index_dtype) {
    throw InvalidDType(message("spgemm_masked: mask has ", name(mask.index_dtype),
                               " indices and A ", name(a.pattern.index_dtype),
                               "; both must be the same"));
  }
}

std::int64_t pieces_of(std::int64_t work, std::int64_t rows) {
  if (num_threads() == 1 || work < tuning::spgemm_serial_work) return 1;
  return std::min<std::int64_t>(rows, num_threads() * tuning::spgemm_pieces_per_thread);
}

std::int64_t spgemm_count(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr) {
  check_spgemm(a, b);
  return spgemm_count_cpu(a, b, indptr, spgemm_products_cpu(a, b, indptr));
}

void spgemm_fill(const CsrView& a, const CsrView& b, const std::int64_t* indptr,
                 DType c_index_dtype, void* indices, void* values) {
  const SpgemmResult c{indptr, c_index_dtype, indices, values};
  check_spgemm_fill(a, b, c);
  spgemm_fill_cpu(a, b, c);
}

void spgemm_masked(const CsrView& a, const CsrView& b, const CsrPattern& mask, void* values,
                   bool transpose_b) {
  check_spgemm_masked(a, b, mask, transpose_b);
  spgemm_masked_cpu(a, b, mask, values, transpose_b);
}

}  // namespace gossamer
