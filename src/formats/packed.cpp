// SPDX-License-Identifier: Apache-2.0
#include "formats/packed.hpp"

#include <atomic>
#include <limits>

#include "core/threads.hpp"
#include "formats/bitmap.hpp"
#include "formats/gap.hpp"

namespace gossamer {

std::string_view name(PackedFormat format) {
  switch (format) {
    case PackedFormat::bitmap:
      return "bitmap";
    case PackedFormat::gap4:
      return "gap4";
    case PackedFormat::gap8:
      return "gap8";
  }
  return "unknown";
}

std::string_view name(PackedDType dtype) {
  switch (dtype) {
#define GOSSAMER_CASE(enumerator, type) \
  case PackedDType::enumerator:         \
    return #enumerator;
    GOSSAMER_FOR_EACH_PACKED_DTYPE(GOSSAMER_CASE)
#undef GOSSAMER_CASE
  }
  return "unknown";
}

std::size_t item_size(PackedDType dtype) {
  return visit_packed(dtype, [](auto tag) { return sizeof(typename decltype(tag)::type); });
}

bool has_scales(PackedDType dtype) { return item_size(dtype) == 1; }

PackedFormat packed_format(std::string_view wanted) {
  for (const PackedFormat format : packed_formats) {
    if (name(format) == wanted) return format;
  }
  throw InvalidArgument(message("format = '", wanted, "' is not one of bitmap, gap4, gap8"));
}

PackedDType packed_dtype(std::string_view wanted) {
#define GOSSAMER_CASE(enumerator, type) \
  if (wanted == #enumerator) return PackedDType::enumerator;
  GOSSAMER_FOR_EACH_PACKED_DTYPE(GOSSAMER_CASE)
#undef GOSSAMER_CASE
  throw InvalidDType(message("dtype = '", wanted,
                             "' is not one of float32, float16, bfloat16, int8, float8_e4m3"));
}

PackedLayout packed_layout(PackedFormat format, std::int64_t rows, std::int64_t cols,
                           std::int64_t slots) {
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max() / 16;
  constexpr std::int64_t widest = std::numeric_limits<std::int32_t>::max() - 64;
  if (rows < 0 || cols < 0 || rows > largest || cols > widest) {
    throw InvalidArgument(message("shape = (", rows, ", ", cols, ") is not in 0..", largest,
                                  " rows and 0..", widest, " columns"));
  }
  if (cols > 0 && rows > largest / cols) {
    throw InvalidArgument(message("shape = (", rows, ", ", cols, ") has too many elements"));
  }
  if (slots < 0 || slots > rows * cols) {
    throw InvalidArgument(message("slots = ", slots, " is not in 0..", rows * cols,
                                  ", one for each element of the shape"));
  }
  if (format == PackedFormat::bitmap) return {slots, rows * bitmap::row_bytes(cols)};
  const std::int64_t padded = (slots + 7) / 8 * 8;
  return {padded, padded * gap::bits(format) / 8};
}

// ---- Validation ---------------------------------------------------------------------------------

namespace {

void validate_offsets(const PackedView& packed) {
  if (row_offset(packed, 0) != 0) {
    throw InvalidArgument(
        message("row_offsets[0] = ", row_offset(packed, 0), "; row offsets begin with 0"));
  }
  for (std::int64_t i = 0; i < packed.rows; ++i) {
    // What was accepted before is not negative, so the difference does not overflow.
    const std::int64_t begin = row_offset(packed, i), end = row_offset(packed, i + 1);
    if (end < begin || end - begin > packed.cols) {
      throw InvalidArgument(message("row_offsets[", i + 1, "] = ", end, " after ", begin,
                                    "; a row has 0 to ", packed.cols, " slots"));
    }
  }
  if (row_offset(packed, packed.rows) != packed.slots) {
    throw InvalidArgument(message("row_offsets[", packed.rows,
                                  "] = ", row_offset(packed, packed.rows), "; it must be the ",
                                  packed.slots, " slots stored"));
  }
}

void validate_padding(const PackedView& packed) {
  const PackedLayout layout = packed_layout(packed.format, packed.rows, packed.cols, packed.slots);
  const auto* values = static_cast<const std::uint8_t*>(packed.values);
  const std::int64_t item = static_cast<std::int64_t>(item_size(packed.dtype));
  for (std::int64_t byte = packed.slots * item; byte < layout.values * item; ++byte) {
    if (values[byte] != 0) {
      throw InvalidArgument(message("values[", byte / item, "] is not 0; the padding after the ",
                                    packed.slots, " slots must be"));
    }
  }
  if (packed.format == PackedFormat::bitmap) return;
  for (std::int64_t slot = packed.slots; slot < layout.values; ++slot) {
    const std::uint32_t gap = packed.format == PackedFormat::gap4
                                  ? gap::gap_at<4>(packed.positions, slot)
                                  : gap::gap_at<8>(packed.positions, slot);
    if (gap != 0) {
      throw InvalidArgument(message("gap ", slot, " = ", gap, "; the padding after the ",
                                    packed.slots, " slots must be 0"));
    }
  }
}

}  // namespace

std::int64_t validate(const PackedView& packed) {
  packed_layout(packed.format, packed.rows, packed.cols, packed.slots);  // throws
  validate_offsets(packed);
  validate_padding(packed);
  for (std::int64_t i = 0; packed.scales != nullptr && i < packed.rows; ++i) {
    if (!(packed.scales[i] > 0.0f) || !std::isfinite(packed.scales[i])) {
      throw InvalidArgument(
          message("scales[", i, "] = ", packed.scales[i], "; a scale must be positive and finite"));
    }
  }
  std::atomic<std::int64_t> fillers = 0;
  constexpr std::int64_t rows_a_task = 64;
  parallel_ranges(packed.rows, rows_a_task, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t found = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      if (packed.format == PackedFormat::bitmap) {
        bitmap::validate_row(packed, i, row_offset(packed, i + 1) - row_offset(packed, i));
      } else {
        found += gap::validate_row(packed, i);
      }
    }
    fillers.fetch_add(found, std::memory_order_relaxed);
  });
  return packed.slots - fillers.load();
}

}  // namespace gossamer
