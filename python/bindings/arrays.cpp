// SPDX-License-Identifier: Apache-2.0
#include "arrays.hpp"

#include <bit>
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
  view.rank = static_cast<int>(array.ndim());
  for (int axis = 0; axis < view.rank; ++axis) {
    view.shape[axis] = static_cast<std::int64_t>(array.shape(axis));
    view.strides[axis] = array.stride(axis);
  }
  if (size_of(view) == 0) return view;  // its memory is none, and may lie anywhere
  // NumPy's views of byte buffers may too. A complex number is aligned as its parts are.
  const bool pairs = view.dtype == DType::complex64 || view.dtype == DType::complex128;
  const std::size_t alignment = item_size(view.dtype) / (pairs ? 2 : 1);
  if (reinterpret_cast<std::uintptr_t>(view.data) % alignment != 0) {
    throw InvalidArgument(std::string(argument) + " is not aligned to its elements");
  }
  if (view.data == nullptr) {
    throw InvalidArgument(std::string(argument) + " has " + std::to_string(size_of(view)) +
                          " elements and no memory: its storage was given up");
  }
  return view;
}

/// The accessors of nb::ndarray over what a framework tells in C.
struct Described {
  nb::dlpack::dltensor tensor;

  int device_type() const { return tensor.device.device_type; }
  std::size_t ndim() const { return static_cast<std::size_t>(tensor.ndim); }
  nb::dlpack::dtype dtype() const { return tensor.dtype; }
  const void* data() const { return static_cast<const char*>(tensor.data) + tensor.byte_offset; }
  std::int64_t shape(int axis) const { return tensor.shape[axis]; }
  std::int64_t stride(int axis) const { return tensor.strides[axis]; }
};

template <class Array>
ArrayView operand_view(const Operand<Array>& operand, const char* argument) {
  if (operand.tensor) return view_of(Described{*operand.tensor}, argument);
  if (operand.buffer.is_taken()) return view_of(operand.buffer, argument);
  return view_of(operand.array, argument);
}

/// The element type by its code of Python's struct module; of no bits for one that the engine does
/// not have.
nb::dlpack::dtype dtype_of_format(const char* format, Py_ssize_t itemsize) {
  using Code = nb::dlpack::dtype_code;
  const auto made = [&](Code code) {
    return nb::dlpack::dtype{static_cast<std::uint8_t>(code),
                             static_cast<std::uint8_t>(8 * itemsize), 1};
  };
  constexpr char native = std::endian::native == std::endian::little ? '<' : '>';
  if (*format == '@' || *format == '=' || *format == native) ++format;
  const bool is_pair = *format == 'Z';
  if (is_pair) ++format;
  if (format[0] == '\0' || format[1] != '\0') return {};
  switch (*format) {
    case 'e':
    case 'f':
    case 'd':
      return made(is_pair ? Code::Complex : Code::Float);
    case 'i':
    case 'l':
    case 'q':
      return is_pair ? nb::dlpack::dtype{} : made(Code::Int);
    case 'H':
      return is_pair ? nb::dlpack::dtype{} : made(Code::UInt);
    default:
      return {};
  }
}

}  // namespace

bool Buffer::take(nb::handle array, bool writable) noexcept {
  if (!PyObject_CheckBuffer(array.ptr())) return false;
  if (PyObject_GetBuffer(array.ptr(), &raw_, writable ? PyBUF_RECORDS : PyBUF_RECORDS_RO) != 0) {
    PyErr_Clear();
    raw_.obj = nullptr;
    return false;
  }
  dtype_ =
      raw_.format != nullptr ? dtype_of_format(raw_.format, raw_.itemsize) : nb::dlpack::dtype{};
  bool is_known = dtype_.bits != 0;
  for (int axis = 0; is_known && raw_.strides != nullptr && axis < raw_.ndim; ++axis) {
    is_known = raw_.strides[axis] % raw_.itemsize == 0;
  }
  if (!is_known) PyBuffer_Release(&raw_);  // which forgets the object
  return is_known;
}

std::int64_t Buffer::stride(int axis) const {
  if (raw_.strides != nullptr) return raw_.strides[axis] / raw_.itemsize;
  std::int64_t stride = 1;  // in C's order, as ctypes' arrays are
  for (int inner = raw_.ndim - 1; inner > axis; --inner) stride *= raw_.shape[inner];
  return stride;
}

ArrayView view(const InputArray& array, const char* argument) { return view_of(array, argument); }
ArrayView view(const OutputArray& array, const char* argument) { return view_of(array, argument); }
ArrayView view(const Input& array, const char* argument) { return operand_view(array, argument); }
ArrayView view(const Output& array, const char* argument) { return operand_view(array, argument); }

std::int64_t size_of(const ArrayView& view) {
  std::int64_t size = 1;
  for (int axis = 0; axis < view.rank; ++axis) size *= view.shape[axis];
  return size;
}

void* vector_data(const ArrayView& vector, std::int64_t length, DType dtype, const char* argument) {
  if (vector.rank != 1 || vector.shape[0] != length) {
    throw InvalidArgument(std::string(argument) + " has rank " + std::to_string(vector.rank) +
                          " and " + std::to_string(size_of(vector)) +
                          " elements; it must be one axis of " + std::to_string(length));
  }
  if (length > 1 && vector.strides[0] != 1) {
    throw InvalidArgument(std::string(argument) + " is not contiguous");
  }
  if (vector.dtype != dtype) {
    throw InvalidDType(std::string(argument) + " is " + std::string(name(vector.dtype)) +
                       "; it must be " + std::string(name(dtype)));
  }
  return vector.data;
}

const void* vector_data(const InputArray& array, std::int64_t length, DType dtype,
                        const char* argument) {
  return vector_data(view(array, argument), length, dtype, argument);
}

void* vector_data(const OutputArray& array, std::int64_t length, DType dtype,
                  const char* argument) {
  return vector_data(view(array, argument), length, dtype, argument);
}

}  // namespace gossamer::python
