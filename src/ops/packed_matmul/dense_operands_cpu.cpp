// SPDX-License-Identifier: Apache-2.0
#include "ops/packed_matmul/dense_operands.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/dense_operands_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "core/threads.hpp"
#include "formats/packed.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Writes rows × columns elements, `from_stride` and `to_stride` apart by rows, as floats, those
/// that are not finite as zero. Returns whether there were any.
bool LoadFinite(DType dtype, const void* from, std::int64_t from_stride, std::int64_t rows,
                std::int64_t columns, float* to, std::int64_t to_stride) {
  return visit_dense(dtype, "X", [&](auto tag) HWY_ATTR {
    using X = typename decltype(tag)::type;
    const FloatTag d;
    const auto largest = hn::Set(d, std::numeric_limits<float>::max());
    const X* row = static_cast<const X*>(from);
    bool all_finite = true;
    for (std::int64_t r = 0; r < rows; ++r, row += from_stride, to += to_stride) {
      std::int64_t c = 0;
      for (; c + float_lanes <= columns; c += float_lanes) {
        const auto value = load_values(row + c);
        const auto finite = hn::Le(hn::Abs(value), largest);
        all_finite &= hn::AllTrue(d, finite);
        hn::StoreU(hn::IfThenElseZero(finite, value), d, to + c);
      }
      for (; c < columns; ++c) {
        const float value = widen(row[c]);
        const bool finite = std::fabs(value) <= std::numeric_limits<float>::max();
        all_finite &= finite;
        to[c] = finite ? value : 0.0f;
      }
    }
    return !all_finite;
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {
namespace {

constexpr std::int64_t block_rows = x_block_rows;

/// Elements that a task loads.
constexpr std::int64_t elements_a_task = 16'384;

/// Columns of X that lie side by side in memory.
struct Run {
  std::size_t first, count;
};

std::vector<Run> runs_of(const PackedMatmulOperand& x, std::size_t first, std::size_t count) {
  std::vector<Run> runs;
  for (std::size_t c = first; c < first + count; ++c) {
    if (c > first && x.columns[c] == x.columns[c - 1] + 1) {
      ++runs.back().count;
    } else {
      runs.push_back({c, 1});
    }
  }
  return runs;
}

/// Notes which columns hold an infinity or NaN in rows [begin, end).
void note_not_finite(const PackedMatmulOperand& x, std::size_t first, std::int64_t begin,
                     std::int64_t end, std::vector<std::uint8_t>& found) {
  visit_dense(x.dtype, "X", [&](auto tag) {
    const auto* elements = static_cast<const typename decltype(tag)::type*>(x.data);
    for (std::size_t c = 0; c < found.size(); ++c) {
      for (std::int64_t j = begin; j < end; ++j) {
        if (std::isfinite(widen(elements[x.columns[first + c] + j * x.row_stride]))) continue;
        std::atomic_ref(found[c]).store(1, std::memory_order_relaxed);
      }
    }
  });
}

std::vector<std::size_t> positions(const std::vector<std::uint8_t>& found, std::size_t first) {
  std::vector<std::size_t> columns;
  for (std::size_t c = 0; c < found.size(); ++c) {
    if (found[c] != 0) columns.push_back(first + c);
  }
  return columns;
}

/// Floats for a kernel, all zero where some will not be written.
AlignedFloats operand_floats(std::int64_t length, bool padded) {
  AlignedFloats data = aligned_floats(length);
  if (padded) std::fill(data.get(), data.get() + length, 0.0f);
  return data;
}

}  // namespace

std::vector<std::size_t> load_blocks(
    const PackedMatmulOperand& x, std::size_t first, std::size_t count,
    const std::function<void(std::int64_t, std::int64_t, const BlockOfX&)>& put) {
  const auto load_finite = GOSSAMER_SIMD_FUNCTION(LoadFinite);
  const auto item = static_cast<std::int64_t>(item_size(x.dtype));
  const auto width = static_cast<std::int64_t>(count);
  const std::vector<Run> runs = runs_of(x, first, count);
  // Vectors side by side are loaded along their length.
  const bool by_columns = x.row_stride == 1 && runs.size() == count;
  const std::int64_t row_stride = by_columns ? 1 : width;
  const std::int64_t column_stride = by_columns ? block_rows : 1;
  std::vector<std::uint8_t> found(count);
  const std::int64_t blocks_a_task =
      std::max<std::int64_t>(1, elements_a_task / (block_rows * width));
  parallel_ranges(x.rows, blocks_a_task * block_rows, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> elements(static_cast<std::size_t>(block_rows * width));
    for (std::int64_t j = begin; j < end; j += block_rows) {
      const std::int64_t rows = std::min(block_rows, end - j);
      bool any = false;
      for (const Run& run : runs) {
        const auto* from = static_cast<const std::uint8_t*>(x.data) +
                           (x.columns[run.first] + j * x.row_stride) * item;
        float* to = elements.data() + static_cast<std::int64_t>(run.first - first) * column_stride;
        any |= by_columns ? load_finite(x.dtype, from, 0, 1, rows, to, 0)
                          : load_finite(x.dtype, from, x.row_stride, rows,
                                        static_cast<std::int64_t>(run.count), to, row_stride);
      }
      if (any) note_not_finite(x, first, j, j + rows, found);
      put(j, rows, BlockOfX{elements.data(), row_stride, column_stride});
    }
  });
  return positions(found, first);
}

LoadedX load_rows(const PackedMatmulOperand& x, std::size_t first, std::size_t count,
                  std::int64_t width) {
  const auto columns = static_cast<std::int64_t>(count);
  LoadedX loaded{operand_floats(x.rows * width, columns < width), {}};
  const auto put = [&](std::int64_t j, std::int64_t rows, const BlockOfX& block) {
    float* to = loaded.data.get() + j * width;
    for (std::int64_t r = 0; r < rows; ++r, to += width) {
      const float* from = block.data + r * block.row_stride;
      if (block.column_stride == 1) {
        std::copy_n(from, columns, to);
      } else {
        for (std::int64_t c = 0; c < columns; ++c) to[c] = from[c * block.column_stride];
      }
    }
  };
  loaded.not_finite = load_blocks(x, first, count, put);
  return loaded;
}

LoadedX load_columns(const PackedMatmulOperand& x, std::size_t first, std::size_t count,
                     std::int64_t width, std::int64_t stride) {
  const auto columns = static_cast<std::int64_t>(count);
  LoadedX loaded{operand_floats(width * stride, columns < width), {}};
  const auto put = [&](std::int64_t j, std::int64_t rows, const BlockOfX& block) {
    for (std::int64_t c = 0; c < columns; ++c) {
      float* to = loaded.data.get() + c * stride + j;
      const float* from = block.data + c * block.column_stride;
      for (std::int64_t r = 0; r < rows; ++r) to[r] = from[r * block.row_stride];
    }
  };
  loaded.not_finite = load_blocks(x, first, count, put);
  return loaded;
}

const float* floats_in_place(const PackedMatmulOperand& x, std::size_t first, std::size_t count) {
  const bool rows = x.row_stride == static_cast<std::int64_t>(count) && count % 16 == 0 &&
                    runs_of(x, first, count).size() == 1;
  if (!rows || x.dtype != DType::float32) return nullptr;
  return static_cast<const float*>(x.data) + x.columns[first];
}

std::vector<std::size_t> not_finite_columns(const PackedMatmulOperand& x,
                                            const PackedMatmulOperand& y, std::size_t first,
                                            std::size_t count) {
  const bool shown = visit_dense(y.dtype, "Y", [&](auto tag) {
    const auto* row = static_cast<const typename decltype(tag)::type*>(y.data);
    return !std::all_of(y.columns.begin() + static_cast<std::ptrdiff_t>(first),
                        y.columns.begin() + static_cast<std::ptrdiff_t>(first + count),
                        [&](std::int64_t c) { return std::isfinite(widen(row[c])); });
  });
  if (!shown) return {};
  // Row 0 may show infinities of its own: X is looked at as fast as it is loaded.
  return load_blocks(x, first, count, [](std::int64_t, std::int64_t, const BlockOfX&) {});
}

LoadedX load_vectors(const PackedMatmulOperand& x, std::size_t first, std::size_t count,
                     std::int64_t width, const std::uint8_t* lanes) {
  const auto columns = static_cast<std::int64_t>(count);
  const std::int64_t length = (x.rows + block_rows - 1) / block_rows * block_rows;
  LoadedX loaded{operand_floats(length * width, columns < width || x.rows < length), {}};
  const auto put = [&](std::int64_t j, std::int64_t rows, const BlockOfX& block) {
    for (std::int64_t c = 0; c < columns; ++c) {
      float* to = loaded.data.get() + j * width + c * block_rows;
      const float* from = block.data + c * block.column_stride;
      if (lanes == nullptr && block.row_stride == 1) {
        std::copy_n(from, rows, to);
        continue;
      }
      for (std::int64_t r = 0; r < rows; ++r) {
        to[lanes == nullptr ? r : lanes[r]] = from[r * block.row_stride];
      }
    }
  };
  loaded.not_finite = load_blocks(x, first, count, put);
  return loaded;
}

void store_columns(const PackedMatmulOperand& y, std::int64_t begin, std::int64_t end,
                   std::size_t first, std::size_t count, const float* sums, std::int64_t stride) {
  if (y.row_stride == 1) {
    for (std::size_t c = 0; c < count; ++c, sums += stride) {
      store_sums(y, begin, end, first + c, 1, sums, 1);
    }
    return;
  }
  const auto width = static_cast<std::int64_t>(count);
  std::vector<float> rows(static_cast<std::size_t>(block_rows * width));
  for (std::int64_t i = begin; i < end; i += block_rows, sums += block_rows) {
    const std::int64_t last = std::min(end, i + block_rows);
    for (std::int64_t c = 0; c < width; ++c) {
      for (std::int64_t r = 0; r < last - i; ++r) {
        rows[static_cast<std::size_t>(r * width + c)] = sums[c * stride + r];
      }
    }
    store_sums(y, i, last, first, count, rows.data(), width);
  }
}

void store_sums(const PackedMatmulOperand& y, std::int64_t begin, std::int64_t end,
                std::size_t first, std::size_t count, const float* sums, std::int64_t width) {
  visit_dense(y.dtype, "Y", [&](auto tag) {
    using Y = typename decltype(tag)::type;
    const PackedDType dtype = packed_dtype(name(y.dtype));
    const std::vector<Run> runs = runs_of(y, first, count);
    Y* to = static_cast<Y*>(y.data) + begin * y.row_stride;
    if (width == 1 && y.row_stride == 1) {
      return narrow_values(dtype, sums, end - begin, 1.0f, to + y.columns[first]);
    }
    for (std::int64_t i = begin; i < end; ++i, sums += width, to += y.row_stride) {
      for (const Run& run : runs) {
        const float* from = sums + (run.first - first);
        Y* row = to + y.columns[run.first];
        if (run.count >= 16) {
          narrow_values(dtype, from, static_cast<std::int64_t>(run.count), 1.0f, row);
        } else {
          for (std::size_t c = 0; c < run.count; ++c) row[c] = narrow<Y>(from[c]);
        }
      }
    }
  });
}

}  // namespace gossamer
#endif  // HWY_ONCE
