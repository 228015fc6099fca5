// SPDX-License-Identifier: Apache-2.0
#include "formats/gap.hpp"

#include <algorithm>
#include <atomic>

#include "core/message.hpp"
#include "formats/packed.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::gap {
namespace {

template <class Body>
decltype(auto) visit_bits(PackedFormat format, Body&& body) {
  if (format == PackedFormat::gap4) return body(std::integral_constant<int, 4>());
  return body(std::integral_constant<int, 8>());
}

}  // namespace

std::int64_t count_slots(PackedFormat format, const std::int32_t* columns, std::int64_t count) {
  if (count == 0) return 0;
  std::int32_t fillers = columns[0] >> bits(format);
  for (std::int64_t i = 1; i < count; ++i) {
    fillers += (columns[i] - columns[i - 1] - 1) >> bits(format);
  }
  return count + fillers;
}

std::int64_t fill_row(PackedFormat format, const std::int32_t* columns, const float* values,
                      std::int64_t count, std::uint8_t* gaps, float* slot_values) {
  if (count > 0 && count_slots(format, columns, count) == count) {
    // Without fillers no slot waits for the one before.
    gaps[0] = static_cast<std::uint8_t>(columns[0]);
    for (std::int64_t i = 1; i < count; ++i) {
      gaps[i] = static_cast<std::uint8_t>(columns[i] - columns[i - 1] - 1);
    }
    std::copy_n(values, count, slot_values);
    return count;
  }
  const int largest = (1 << bits(format)) - 1;
  std::int64_t slot = 0;
  std::int32_t next = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::int32_t gap = columns[i] - next;
    for (; gap > largest; gap -= largest + 1) {
      gaps[slot] = static_cast<std::uint8_t>(largest);
      slot_values[slot++] = 0.0f;
    }
    gaps[slot] = static_cast<std::uint8_t>(gap);
    slot_values[slot++] = values[i];
    next = columns[i] + 1;
  }
  return slot;
}

void store_gaps(PackedFormat format, const std::uint8_t* gaps, std::int64_t first,
                std::int64_t count, std::uint8_t* positions) {
  if (format == PackedFormat::gap8) {
    std::copy_n(gaps, count, positions + first);
    return;
  }
  const auto share = [&](std::int64_t slot, std::uint8_t gap) {
    std::atomic_ref<std::uint8_t>(positions[slot >> 1])
        .fetch_or(static_cast<std::uint8_t>(gap << ((slot & 1) * 4)), std::memory_order_relaxed);
  };
  std::int64_t i = 0;
  if ((first & 1) != 0 && count > 0) share(first, gaps[i++]);
  for (; i + 2 <= count; i += 2) {
    positions[(first + i) >> 1] = static_cast<std::uint8_t>(gaps[i] | (gaps[i + 1] << 4));
  }
  if (i < count) share(first + i, gaps[i]);
}

std::int64_t validate_row(const PackedView& packed, std::int64_t row) {
  return visit_bits(packed.format, [&](auto bits) {
    constexpr std::uint32_t largest = (1u << bits) - 1;
    return visit_packed(packed.dtype, [&](auto tag) {
      const auto* values = static_cast<const typename decltype(tag)::type*>(packed.values);
      std::int64_t next = 0, fillers = 0;
      const std::int64_t end = row_offset(packed, row + 1);
      for (std::int64_t slot = row_offset(packed, row); slot < end; ++slot) {
        const std::uint32_t gap = gap_at<bits>(packed.positions, slot);
        next += gap + 1;
        fillers += gap == largest && widen(values[slot]) == 0.0f;
      }
      if (next > packed.cols) {
        throw InvalidArgument(message("the gaps of row ", row, " run to column ", next - 1,
                                      "; the matrix has ", packed.cols, " columns"));
      }
      return fillers;
    });
  });
}

}  // namespace gossamer::gap
