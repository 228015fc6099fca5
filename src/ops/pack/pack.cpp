// SPDX-License-Identifier: Apache-2.0
#include "ops/pack/pack.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/message.hpp"
#include "core/threads.hpp"
#include "formats/bitmap.hpp"
#include "formats/gap.hpp"
#include "formats/packed.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {

// A vector's width more than a row: compaction stores whole vectors.
RowNonzeros::RowNonzeros(std::int64_t cols)
    : columns(static_cast<std::size_t>(cols) + 64),
      values(columns.size()),
      bits(static_cast<std::size_t>(bitmap::row_bytes(cols))) {}

namespace {

/// Rows of one task: as many as share a cache line of a float32 matrix in column order.
constexpr std::int64_t few_rows = 16;

/// The largest float not above a threshold: |x| exceeds the one exactly if it exceeds the other.
float float_threshold(double threshold) {
  if (!(threshold >= 0.0)) {
    throw InvalidArgument(message("threshold = ", threshold, "; it must be 0 or more"));
  }
  float rounded = static_cast<float>(threshold);
  if (static_cast<double>(rounded) > threshold) rounded = std::nextafter(rounded, 0.0f);
  return rounded;
}

/// A dense matrix as rows of nonzeros.
struct DenseRows {
  DenseRows(const ArrayView& dense, double limit) : view(dense), threshold(float_threshold(limit)) {
    if (view.rank != 2)
      throw InvalidArgument(message("dense has rank ", view.rank, "; it must be 2"));
    visit_dense(view.dtype, "dense", [](auto) {});
    rows = view.shape[0];
    cols = view.shape[1];
    packed_layout(PackedFormat::bitmap, rows, cols, 0);
  }

  template <class Body>
  void for_each(std::int64_t begin, std::int64_t end, Body&& body) const {
    visit_dense(view.dtype, "dense", [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* data = static_cast<const T*>(view.data);
      RowNonzeros nonzeros(cols);
      std::vector<T> block;
      if (view.strides[1] != 1) {
        // Row by row it would read each cache line of a column-major matrix once for every row.
        block.resize(static_cast<std::size_t>((end - begin) * cols));
        for (std::int64_t j = 0; j < cols; ++j) {
          for (std::int64_t i = begin; i < end; ++i) {
            block[static_cast<std::size_t>((i - begin) * cols + j)] =
                data[i * view.strides[0] + j * view.strides[1]];
          }
        }
      }
      for (std::int64_t i = begin; i < end; ++i) {
        const T* row =
            view.strides[1] == 1 ? data + i * view.strides[0] : block.data() + (i - begin) * cols;
        compact_row(view.dtype, row, cols, threshold, nonzeros);
        body(i, nonzeros);
      }
    });
  }

  ArrayView view;
  float threshold;
  std::int64_t rows, cols;
  std::int64_t rows_a_task = few_rows;
};

/// A CSR matrix as rows of nonzeros; checks that its columns ascend.
struct CsrRows {
  CsrRows(const CsrView& csr, double limit)
      : view(csr),
        threshold(float_threshold(limit)),
        rows(csr.pattern.rows),
        cols(csr.pattern.cols) {
    visit_dense(view.dtype, "data", [](auto) {});
    visit_index(view.pattern.index_dtype, "indices", [](auto) {});
    packed_layout(PackedFormat::bitmap, rows, cols, 0);
  }

  template <class Body>
  void for_each(std::int64_t begin, std::int64_t end, Body&& body) const {
    visit_dense(view.dtype, "data", [&](auto value) {
      visit_index(view.pattern.index_dtype, "indices", [&](auto index) {
        using I = typename decltype(index)::type;
        const auto* values = static_cast<const typename decltype(value)::type*>(view.values);
        const I* indptr = static_cast<const I*>(view.pattern.indptr);
        const I* indices = static_cast<const I*>(view.pattern.indices);
        RowNonzeros nonzeros(cols);
        for (std::int64_t i = begin; i < end; ++i) {
          nonzeros.count = 0;
          for (I p = indptr[i]; p < indptr[i + 1]; ++p) {
            if (p > indptr[i] && indices[p] <= indices[p - 1]) {
              throw InvalidArgument(message("indices[", p, "] = ", indices[p], " after ",
                                            indices[p - 1], " in row ", i,
                                            "; columns must ascend: sum duplicates first"));
            }
            const float x = widen(values[p]);
            const std::size_t slot = static_cast<std::size_t>(nonzeros.count);
            nonzeros.columns[slot] = static_cast<std::int32_t>(indices[p]);
            nonzeros.values[slot] = x;
            nonzeros.count += !(std::fabs(x) <= threshold);
          }
          bitmap::write_row(nonzeros.columns.data(), nonzeros.count, cols, nonzeros.bits.data());
          body(i, nonzeros);
        }
      });
    });
  }

  CsrView view;
  float threshold;
  std::int64_t rows, cols;
  std::int64_t rows_a_task = few_rows;
};

/// The transpose of a CSR matrix as rows of nonzeros, a block of them made dense at a time: no
/// transposed copy. Checks that the columns of the CSR matrix ascend.
struct TransposedCsrRows {
  TransposedCsrRows(const CsrView& csr, double limit)
      : view(csr),
        threshold(float_threshold(limit)),
        rows(csr.pattern.cols),
        cols(csr.pattern.rows) {
    visit_dense(view.dtype, "data", [](auto) {});
    packed_layout(PackedFormat::bitmap, rows, cols, 0);
    // Blocks search for their columns, which finds too few where they do not ascend.
    visit_index(view.pattern.index_dtype, "indices", [&](auto index) {
      using I = typename decltype(index)::type;
      const I* indptr = static_cast<const I*>(view.pattern.indptr);
      const I* indices = static_cast<const I*>(view.pattern.indices);
      parallel_ranges(cols, 16 * few_rows, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t j = begin; j < end; ++j) {
          for (std::int64_t p = indptr[j] + 1; p < indptr[j + 1]; ++p) {
            if (indices[p] > indices[p - 1]) continue;
            throw InvalidArgument(message("indices[", p, "] = ", indices[p], " in row ", j,
                                          "; columns must ascend: sum duplicates first"));
          }
        }
      });
    });
    // A block searches every column for its first row: it pays over many rows.
    constexpr std::int64_t block_elements = 1 << 19;
    rows_a_task = std::clamp<std::int64_t>(block_elements / std::max<std::int64_t>(1, cols),
                                           few_rows, 16 * few_rows);
  }

  template <class Body>
  void for_each(std::int64_t begin, std::int64_t end, Body&& body) const {
    visit_dense(view.dtype, "data", [&](auto value) {
      visit_index(view.pattern.index_dtype, "indices", [&](auto index) {
        using T = typename decltype(value)::type;
        using I = typename decltype(index)::type;
        const T* values = static_cast<const T*>(view.values);
        const I* indptr = static_cast<const I*>(view.pattern.indptr);
        const I* indices = static_cast<const I*>(view.pattern.indices);
        std::vector<T> block(static_cast<std::size_t>((end - begin) * cols));
        for (std::int64_t j = 0; j < cols; ++j) {
          const I* last = indices + indptr[j + 1];
          for (const I* at = std::lower_bound(indices + indptr[j], last, begin);
               at != last && *at < end; ++at) {
            block[static_cast<std::size_t>((*at - begin) * cols + j)] = values[at - indices];
          }
        }
        RowNonzeros nonzeros(cols);
        for (std::int64_t i = begin; i < end; ++i) {
          compact_row(view.dtype, block.data() + (i - begin) * cols, cols, threshold, nonzeros);
          body(i, nonzeros);
        }
      });
    });
  }

  CsrView view;
  float threshold;
  std::int64_t rows, cols, rows_a_task;
};

/// Calls body with the rows of a CSR matrix or of its transpose.
template <class Body>
void visit_rows(const CsrView& csr, double threshold, bool transpose, Body&& body) {
  if (transpose) {
    body(TransposedCsrRows(csr, threshold));
  } else {
    body(CsrRows(csr, threshold));
  }
}

template <class Rows>
void count_rows(const Rows& source, std::int64_t* counts) {
  parallel_ranges(source.rows, source.rows_a_task, [&](std::int64_t begin, std::int64_t end) {
    source.for_each(begin, end, [&](std::int64_t row, const RowNonzeros& nonzeros) {
      counts[row] = nonzeros.count;
      for (std::int64_t f = 1; f < static_cast<std::int64_t>(packed_formats.size()); ++f) {
        counts[f * source.rows + row] = gap::count_slots(
            packed_formats[static_cast<std::size_t>(f)], nonzeros.columns.data(), nonzeros.count);
      }
    });
  });
}

/// The largest modulus of a row's values; throws InvalidArgument if one is infinite or NaN.
float largest_modulus(std::int64_t row, const RowNonzeros& nonzeros, PackedDType dtype) {
  // Moduli are in the order of their bits, infinity and NaN last.
  std::int32_t largest = 0;
  for (std::int64_t i = 0; i < nonzeros.count; ++i) {
    const float x = nonzeros.values[static_cast<std::size_t>(i)];
    largest = std::max(largest, std::bit_cast<std::int32_t>(x) & 0x7fffffff);
  }
  if (largest < 0x7f800000) return std::bit_cast<float>(largest);
  std::size_t slot = 0;
  while (std::isfinite(nonzeros.values[slot])) ++slot;
  throw InvalidArgument(message("W[", row, ", ", nonzeros.columns[slot],
                                "] = ", nonzeros.values[slot], "; ", name(dtype),
                                " takes finite values only"));
}

template <class Rows>
void find_scales(const Rows& source, PackedDType dtype, float* scales) {
  if (!has_scales(dtype)) {
    throw InvalidDType(message("dtype ", name(dtype), " has no scales; int8 and float8_e4m3 do"));
  }
  const float largest = largest_value(dtype);
  parallel_ranges(source.rows, source.rows_a_task, [&](std::int64_t begin, std::int64_t end) {
    source.for_each(begin, end, [&](std::int64_t row, const RowNonzeros& nonzeros) {
      const float magnitude = largest_modulus(row, nonzeros, dtype);
      // The smallest subnormals have no quotient by the largest value: they round to the smallest
      // scale.
      scales[row] = magnitude == 0.0f
                        ? 1.0f
                        : std::max(magnitude / largest, std::numeric_limits<float>::min());
    });
  });
}

/// Zeroes the padding, and the bytes that rows share, into which each row's bits are combined.
void clear_shared_bytes(const PackedView& packed, const PackedOutput& output, std::int64_t item) {
  const PackedLayout layout = packed_layout(packed.format, packed.rows, packed.cols, packed.slots);
  if (layout.values > packed.slots) {
    std::memset(static_cast<std::uint8_t*>(output.values) + packed.slots * item, 0,
                static_cast<std::size_t>((layout.values - packed.slots) * item));
  }
  if (packed.format == PackedFormat::bitmap) return;
  const int bits = gap::bits(packed.format);
  for (std::int64_t i = 0; i <= packed.rows; ++i) {
    const std::int64_t byte = row_offset(packed, i) * bits / 8;
    if (byte >= 0 && byte < layout.positions) output.positions[byte] = 0;
  }
  const std::int64_t end = packed.slots * bits / 8;
  if (layout.positions > end) {
    std::memset(output.positions + end, 0, static_cast<std::size_t>(layout.positions - end));
  }
}

template <class Rows>
void pack_rows(const Rows& source, const PackedOutput& output) {
  if (source.rows > 0 && has_scales(output.dtype) != (output.scales != nullptr)) {
    throw InvalidArgument(message("scales are ", output.scales ? "given" : "missing", " for ",
                                  name(output.dtype), "; the 8-bit types alone have them"));
  }
  PackedView packed;
  packed.format = output.format;
  packed.dtype = output.dtype;
  packed.offset_dtype = output.offset_dtype;
  packed.rows = source.rows;
  packed.cols = source.cols;
  packed.row_offsets = output.row_offsets;
  packed.scales = output.scales;
  packed.slots = row_offset(packed, packed.rows);
  const std::int64_t item = static_cast<std::int64_t>(item_size(packed.dtype));
  clear_shared_bytes(packed, output, item);
  parallel_ranges(source.rows, source.rows_a_task, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint8_t> gaps(static_cast<std::size_t>(source.cols));
    std::vector<float> slot_values(gaps.size());
    source.for_each(begin, end, [&](std::int64_t row, const RowNonzeros& nonzeros) {
      const std::int64_t first = row_offset(packed, row);
      const std::int64_t last = row_offset(packed, row + 1);
      const std::int64_t count =
          packed.format == PackedFormat::bitmap
              ? nonzeros.count
              : gap::count_slots(packed.format, nonzeros.columns.data(), nonzeros.count);
      if (first < 0 || last > packed.slots || last - first != count) {
        throw InvalidArgument(message("row_offsets gives row ", row, " the slots ", first, " to ",
                                      last, "; it has ", count, " of ", packed.slots));
      }
      const float scale = row_scale(packed, row);
      if (!(scale > 0.0f) || !std::isfinite(scale)) {
        throw InvalidArgument(
            message("scales[", row, "] = ", scale, "; a scale must be positive and finite"));
      }
      if (has_scales(packed.dtype)) largest_modulus(row, nonzeros, packed.dtype);
      const float* values = nonzeros.values.data();
      if (packed.format == PackedFormat::bitmap) {
        std::copy(nonzeros.bits.begin(), nonzeros.bits.end(),
                  output.positions + row * bitmap::row_bytes(packed.cols));
      } else {
        gap::fill_row(packed.format, nonzeros.columns.data(), values, nonzeros.count, gaps.data(),
                      slot_values.data());
        gap::store_gaps(packed.format, gaps.data(), first, count, output.positions);
        values = slot_values.data();
      }
      narrow_values(packed.dtype, values, count, scale,
                    static_cast<std::uint8_t*>(output.values) + first * item);
    });
  });
}

}  // namespace

void count_packed(const ArrayView& dense, double threshold, std::int64_t* counts) {
  count_rows(DenseRows(dense, threshold), counts);
}

void count_packed(const CsrView& csr, double threshold, std::int64_t* counts, bool transpose) {
  visit_rows(csr, threshold, transpose, [&](const auto& rows) { count_rows(rows, counts); });
}

void row_scales(const ArrayView& dense, double threshold, PackedDType dtype, float* scales) {
  find_scales(DenseRows(dense, threshold), dtype, scales);
}

void row_scales(const CsrView& csr, double threshold, PackedDType dtype, float* scales,
                bool transpose) {
  visit_rows(csr, threshold, transpose,
             [&](const auto& rows) { find_scales(rows, dtype, scales); });
}

void pack(const ArrayView& dense, double threshold, const PackedOutput& output) {
  pack_rows(DenseRows(dense, threshold), output);
}

void pack(const CsrView& csr, double threshold, const PackedOutput& output, bool transpose) {
  visit_rows(csr, threshold, transpose, [&](const auto& rows) { pack_rows(rows, output); });
}

}  // namespace gossamer
