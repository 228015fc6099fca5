// SPDX-License-Identifier: Apache-2.0
// Python arrays to views: NumPy through the buffer protocol, other libraries through DLPack.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "exchange.hpp"
#include "gossamer/views.hpp"

namespace gossamer::python {

namespace nb = nanobind;

using InputArray = nb::ndarray<nb::ro>;
using OutputArray = nb::ndarray<>;

/// What an array such as NumPy's tells by the buffer protocol, for as long as this object lives.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (raw_.obj != nullptr) PyBuffer_Release(&raw_);
  }

  /// Returns false, without an exception, for what is no buffer of the engine's element types.
  bool take(nb::handle array, bool writable) noexcept;

  bool is_taken() const { return raw_.obj != nullptr; }
  int device_type() const { return nb::device::cpu::value; }
  std::size_t ndim() const { return static_cast<std::size_t>(raw_.ndim); }
  nb::dlpack::dtype dtype() const { return dtype_; }
  const void* data() const { return raw_.buf; }
  std::int64_t shape(int axis) const { return raw_.shape[axis]; }
  std::int64_t stride(int axis) const;

 private:
  Py_buffer raw_{};
  nb::dlpack::dtype dtype_{};
};

/// An InputArray or OutputArray that is kept no longer than a call. PyTorch's tensors, which
/// describe themselves in C, come in ten times as fast, NumPy's arrays twice.
template <class Array>
struct Operand {
  std::optional<nb::dlpack::dltensor> tensor;
  Buffer buffer;
  Array array;  ///< where neither of these is set
};

using Input = Operand<InputArray>;
using Output = Operand<OutputArray>;

/// A view of any strided CPU array.
ArrayView view(const InputArray& array, const char* argument);
ArrayView view(const OutputArray& array, const char* argument);
ArrayView view(const Input& array, const char* argument);
ArrayView view(const Output& array, const char* argument);

/// Number of elements.
std::int64_t size_of(const ArrayView& view);

/// The data of a contiguous rank-1 CPU array; checks its length and dtype.
const void* vector_data(const InputArray& array, std::int64_t length, DType dtype,
                        const char* argument);
void* vector_data(const OutputArray& array, std::int64_t length, DType dtype, const char* argument);
void* vector_data(const ArrayView& view, std::int64_t length, DType dtype, const char* argument);

}  // namespace gossamer::python

template <class Array>
struct nanobind::detail::type_caster<gossamer::python::Operand<Array>> {
  NB_TYPE_CASTER(gossamer::python::Operand<Array>, make_caster<Array>::Name)

  bool from_python(handle source, auto flags, cleanup_list* cleanup) noexcept {
    value.tensor = gossamer::python::described(source);
    if (value.tensor) return true;
    constexpr bool writable = std::is_same_v<Array, gossamer::python::OutputArray>;
    if (value.buffer.take(source, writable)) return true;
    make_caster<Array> caster;
    if (!caster.from_python(source, flags, cleanup)) return false;
    value.array = std::move(caster.value);
    return true;
  }
};
