// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any bytes as a packed matrix. What the validator accepts must be safe to use.
//
// Input: format, dtype, offset width, rows, columns (a byte each), then row_offsets, values,
// positions and scales as far as the bytes reach; missing ones are zero.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "gossamer/errors.hpp"
#include "gossamer/packed.hpp"
#include "gossamer/threads.hpp"

namespace {

using namespace gossamer;

/// Takes the input from the front, zeros once it is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  std::uint8_t byte() {
    std::uint8_t value = 0;
    fill(&value, 1);
    return value;
  }

  void fill(void* to, std::size_t bytes) {
    const std::size_t taken = std::min(bytes, left_);
    if (taken > 0) std::memcpy(to, data_, taken);
    data_ += taken;
    left_ -= taken;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

/// An array on the heap without room to spare, so that a read beyond it is seen.
template <class T>
std::vector<T> take(Input& input, std::int64_t count) {
  std::vector<T> items(static_cast<std::size_t>(count));
  input.fill(items.data(), items.size() * sizeof(T));
  return items;
}

void multiply(const PackedView& packed, std::int64_t columns, bool transpose) {
  const std::int64_t inputs = transpose ? packed.rows : packed.cols;
  const std::int64_t outputs = transpose ? packed.cols : packed.rows;
  std::vector<float> x(static_cast<std::size_t>(inputs * columns), 1.0f);
  std::vector<float> y(static_cast<std::size_t>(outputs * columns));
  packed_matmul(packed, ArrayView::contiguous(x.data(), DType::float32, {inputs, columns}),
                ArrayView::contiguous(y.data(), DType::float32, {outputs, columns}), transpose);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  set_num_threads(1);
  Input input(data, size);
  PackedView packed;
  packed.format = packed_formats[input.byte() % packed_formats.size()];
  packed.dtype = static_cast<PackedDType>(input.byte() % 5);
  packed.offset_dtype = input.byte() % 2 == 0 ? DType::int32 : DType::int64;
  packed.rows = input.byte() % 24;
  packed.cols = 3 * input.byte();
  const bool narrow = packed.offset_dtype == DType::int32;
  const auto offsets = take<std::int32_t>(input, (packed.rows + 1) * (narrow ? 1 : 2));
  packed.row_offsets = offsets.data();
  if (narrow) {
    packed.slots = offsets.back();
  } else {
    std::memcpy(&packed.slots, offsets.data() + 2 * packed.rows, 8);
  }
  try {
    const PackedLayout layout =
        packed_layout(packed.format, packed.rows, packed.cols, packed.slots);
    const auto values = take<std::uint8_t>(
        input, layout.values * static_cast<std::int64_t>(item_size(packed.dtype)));
    const auto positions = take<std::uint8_t>(input, layout.positions);
    const auto scales = take<float>(input, has_scales(packed.dtype) ? packed.rows : 0);
    packed.values = values.data();
    packed.positions = positions.data();
    packed.scales = has_scales(packed.dtype) ? scales.data() : nullptr;
    const std::int64_t nonzeros = validate(packed);
    std::vector<std::int64_t> indptr(static_cast<std::size_t>(packed.rows) + 1);
    if (count_unpacked(packed, DType::int64, indptr.data()) != nonzeros) std::abort();
    std::vector<float> dense(static_cast<std::size_t>(packed.rows * packed.cols));
    unpack(packed, ArrayView::contiguous(dense.data(), DType::float32, {packed.rows, packed.cols}));
    for (const std::int64_t columns : {1, 2, 16, 17, 32}) {
      multiply(packed, columns, false);
      multiply(packed, columns, true);
    }
  } catch (const InvalidArgument&) {
  }
  return 0;
}
