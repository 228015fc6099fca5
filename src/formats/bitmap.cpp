// SPDX-License-Identifier: Apache-2.0
#include "formats/bitmap.hpp"

#include <bit>
#include <cstring>

#include "core/message.hpp"
#include "formats/packed.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::bitmap {

void write_row(const std::int32_t* columns, std::int64_t count, std::int64_t cols,
               std::uint8_t* bits) {
  std::int64_t next = 0;
  for (std::int64_t word = 0; word < row_bytes(cols) / 4; ++word) {
    std::uint32_t mask = 0;
    for (; next < count && columns[next] >> 5 == word; ++next) mask |= 1u << (columns[next] & 31);
    std::memcpy(bits + word * 4, &mask, 4);
  }
}

void validate_row(const PackedView& packed, std::int64_t row, std::int64_t slots) {
  const std::uint8_t* bits = packed.positions + row * row_bytes(packed.cols);
  std::int64_t set = 0;
  std::uint32_t mask = 0;
  for (std::int64_t word = 0; word < row_bytes(packed.cols) / 4; ++word) {
    std::memcpy(&mask, bits + word * 4, 4);
    set += std::popcount(mask);
  }
  if (packed.cols % 32 != 0 && mask >> (packed.cols % 32) != 0) {
    const std::int64_t column = packed.cols + std::countr_zero(mask >> (packed.cols % 32));
    throw InvalidArgument(message("the bitmap of row ", row, " sets column ", column,
                                  "; the matrix has ", packed.cols, " columns"));
  }
  if (set != slots) {
    throw InvalidArgument(message("the bitmap of row ", row, " has ", set,
                                  " bits set; row_offsets gives the row ", slots, " values"));
  }
}

}  // namespace gossamer::bitmap
