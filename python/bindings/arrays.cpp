// SPDX-License-Identifier: Apache-2.0
#include "arrays.hpp"

#include <cstdint>
#include <string>

#include "gossamer/errors.hpp"

namespace gossamer::python {
namespace {

template <class Array>
ArrayView view_of(const Array& array, const char* argument) {
  if (array.device_type() != nb::device::cpu::value) {
    throw InvalidArgument(std::string(argument) + " is not in the memory of the CPU");
  }
  if (array.ndim() > static_cast<std::size_t>(ArrayView::max_rank)) {
    throw InvalidArgument(std::string(argument) + " has rank " + std::to_string(array.ndim()) +
                          "; at most " + std::to_string(ArrayView::max_rank) + " is supported");
  }
  ArrayView view;
  view.data = const_cast<void*>(static_cast<const void*>(array.data()));
  view.dtype = dtype_of(array.dtype(), argument);
  // NumPy's views of byte buffers may lie anywhere. A complex number is aligned as its parts are.
  const bool pairs = view.dtype == DType::complex64 || view.dtype == DType::complex128;
  const std::size_t alignment = item_size(view.dtype) / (pairs ? 2 : 1);
  if (reinterpret_cast<std::uintptr_t>(view.data) % alignment != 0) {
    throw InvalidArgument(std::string(argument) + " is not aligned to its elements");
  }
  view.rank = static_cast<int>(array.ndim());
  for (int axis = 0; axis < view.rank; ++axis) {
    view.shape[axis] = static_cast<std::int64_t>(array.shape(axis));
    view.strides[axis] = array.stride(axis);
  }
  return view;
}

template <class Array>
auto* data_of(const Array& array, std::int64_t length, DType dtype, const char* argument) {
  const ArrayView vector = view_of(array, argument);
  if (vector.rank != 1 || vector.shape[0] != length) {
    throw InvalidArgument(std::string(argument) + " has rank " + std::to_string(vector.rank) +
                          " and " + std::to_string(array.size()) +
                          " elements; it must be one axis of " + std::to_string(length));
  }
  if (length > 1 && vector.strides[0] != 1) {
    throw InvalidArgument(std::string(argument) + " is not contiguous");
  }
  if (vector.dtype != dtype) {
    throw InvalidDType(std::string(argument) + " is " + std::string(name(vector.dtype)) +
                       "; it must be " + std::string(name(dtype)));
  }
  return array.data();
}

}  // namespace

DType dtype_of(nb::dlpack::dtype dtype, const char* argument) {
  using Code = nb::dlpack::dtype_code;
  const auto is = [&](Code code, int bits) {
    return dtype.code == static_cast<std::uint8_t>(code) && dtype.bits == bits && dtype.lanes == 1;
  };
  if (is(Code::Float, 32)) return DType::float32;
  if (is(Code::Float, 64)) return DType::float64;
  if (is(Code::Int, 32)) return DType::int32;
  if (is(Code::Int, 64)) return DType::int64;
  if (is(Code::Float, 16)) return DType::float16;
  if (is(Code::Bfloat, 16) || is(Code::UInt, 16)) return DType::bfloat16;
  if (is(Code::Complex, 64)) return DType::complex64;
  if (is(Code::Complex, 128)) return DType::complex128;
  throw InvalidDType(std::string(argument) +
                     " has an element type that the engine does not know; supported are float16, "
                     "bfloat16, float32, float64, complex64, complex128, int32 and int64");
}

ArrayView view(const InputArray& array, const char* argument) { return view_of(array, argument); }
ArrayView view(const OutputArray& array, const char* argument) { return view_of(array, argument); }

const void* vector_data(const InputArray& array, std::int64_t length, DType dtype,
                        const char* argument) {
  return data_of(array, length, dtype, argument);
}

void* vector_data(const OutputArray& array, std::int64_t length, DType dtype,
                  const char* argument) {
  return data_of(array, length, dtype, argument);
}

}  // namespace gossamer::python
