// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <vector>

#include "core/message.hpp"
#include "core/threads.hpp"
#include "formats/packed.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {
namespace {

/// Rows of one task: as many as share a cache line of a float32 matrix in column order.
constexpr std::int64_t rows_a_task = 16;

/// Calls body(row, count, columns, values) with the decoded slots of each row, not scaled.
template <class Body>
void for_each_decoded_row(const PackedView& packed, Body&& body) {
  parallel_ranges(packed.rows, rows_a_task, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int32_t> columns(static_cast<std::size_t>(decoded_length(packed)));
    std::vector<float> values(columns.size());
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = row_offset(packed, i);
      const std::int64_t count = row_offset(packed, i + 1) - first;
      decode_columns(packed, i, columns.data());
      decode_values(packed, first, count, values.data());
      body(i, count, columns.data(), values.data());
    }
  });
}

/// Whether a slot of that stored value bridges a gap. A zero behind the largest gap that is no
/// filler cannot be told apart.
bool is_filler(const PackedView& packed, const std::int32_t* columns, std::int64_t slot,
               float value) {
  if (packed.format == PackedFormat::bitmap || value != 0.0f) return false;
  const std::int32_t before = slot == 0 ? -1 : columns[slot - 1];
  return columns[slot] - before == (packed.format == PackedFormat::gap4 ? 16 : 256);
}

}  // namespace

void unpack(const PackedView& packed, const ArrayView& dense) {
  if (dense.rank != 2 || dense.shape[0] != packed.rows || dense.shape[1] != packed.cols) {
    throw InvalidArgument(message("unpack: dense has rank ", dense.rank, " and shape (",
                                  dense.shape[0], ", ", dense.shape[1], ", ...); it must be (",
                                  packed.rows, ", ", packed.cols, ")"));
  }
  visit_dense(dense.dtype, "dense", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const PackedDType dtype = packed_dtype(name(dense.dtype));
    const std::int64_t stride = dense.strides[1];
    parallel_ranges(packed.rows, rows_a_task, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> elements(static_cast<std::size_t>(decoded_length(packed)));
      std::vector<T> strided(stride == 1 ? 0 : static_cast<std::size_t>(packed.cols));
      for (std::int64_t i = begin; i < end; ++i) {
        decode_row(packed, i, elements.data());
        for (std::int64_t j = 0; packed.scales != nullptr && j < packed.cols; ++j) {
          elements[static_cast<std::size_t>(j)] *= packed.scales[i];
        }
        T* to = static_cast<T*>(dense.data) + i * dense.strides[0];
        narrow_values(dtype, elements.data(), packed.cols, 1.0f, stride == 1 ? to : strided.data());
        for (std::int64_t j = 0; stride != 1 && j < packed.cols; ++j) {
          to[j * stride] = strided[static_cast<std::size_t>(j)];
        }
      }
    });
  });
}

std::int64_t count_unpacked(const PackedView& packed, DType index_dtype, void* indptr) {
  return visit_index(index_dtype, "indptr", [&](auto index) {
    using I = typename decltype(index)::type;
    I* offsets = static_cast<I*>(indptr);
    offsets[0] = 0;
    for_each_decoded_row(packed, [&](std::int64_t row, std::int64_t count,
                                     const std::int32_t* columns, const float* values) {
      std::int64_t kept = 0;
      for (std::int64_t k = 0; k < count; ++k) kept += !is_filler(packed, columns, k, values[k]);
      offsets[row + 1] = static_cast<I>(kept);
    });
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < packed.rows; ++i) {
      total += offsets[i + 1];
      if (total > std::numeric_limits<I>::max()) {
        throw InvalidArgument(message("unpack: more than ", std::numeric_limits<I>::max(),
                                      " nonzeros do not fit ", name(index_dtype)));
      }
      offsets[i + 1] = static_cast<I>(total);
    }
    return total;
  });
}

void unpack(const PackedView& packed, DType index_dtype, const void* indptr, void* indices,
            DType dtype, void* values) {
  visit_index(index_dtype, "indptr", [&](auto index) {
    visit_dense(dtype, "values", [&](auto tag) {
      using I = typename decltype(index)::type;
      using T = typename decltype(tag)::type;
      const I* offsets = static_cast<const I*>(indptr);
      for_each_decoded_row(packed, [&](std::int64_t row, std::int64_t count,
                                       const std::int32_t* columns, const float* decoded) {
        std::int64_t p = offsets[row];
        for (std::int64_t k = 0; k < count && p < offsets[row + 1]; ++k) {
          if (is_filler(packed, columns, k, decoded[k])) continue;
          static_cast<I*>(indices)[p] = static_cast<I>(columns[k]);
          static_cast<T*>(values)[p++] = narrow<T>(decoded[k] * row_scale(packed, row));
        }
        if (p != offsets[row + 1]) {
          throw InvalidArgument(message("unpack: indptr gives row ", row, " ",
                                        offsets[row + 1] - offsets[row],
                                        " nonzeros; take the offsets that count_unpacked wrote"));
        }
      });
    });
  });
}

}  // namespace gossamer
