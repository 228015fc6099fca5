// SPDX-License-Identifier: Apache-2.0
#include "exchange.hpp"

#include <cstdint>
#include <string>

#include "gossamer/errors.hpp"

namespace gossamer::python {
namespace {

/// The head of DLPackExchangeAPI, version 1, as DLPack 1.3 lays it out.
struct ExchangeApi {
  std::uint32_t major, minor;
  const ExchangeApi* older;
  void* managed[3];
  int (*describe)(void* array, nb::dlpack::dltensor* out);
};

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

std::optional<nb::dlpack::dltensor> described(nb::handle array) noexcept {
  if (PyObject_CheckBuffer(array.ptr())) return std::nullopt;  // NumPy's are quick to ask
  static PyObject* const attribute = PyUnicode_InternFromString("__dlpack_c_exchange_api__");
  PyObject* const type = reinterpret_cast<PyObject*>(Py_TYPE(array.ptr()));
  const nb::object capsule = nb::steal(PyObject_GetAttr(type, attribute));
  nb::dlpack::dltensor tensor;
  if (capsule.is_valid()) {
    const auto* api =
        static_cast<const ExchangeApi*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    if (api && api->major == 1 && api->describe && api->describe(array.ptr(), &tensor) == 0 &&
        (tensor.ndim == 0 || tensor.strides)) {
      return tensor;
    }
  }
  PyErr_Clear();
  return std::nullopt;
}

}  // namespace gossamer::python
