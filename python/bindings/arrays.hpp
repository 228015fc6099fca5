// SPDX-License-Identifier: Apache-2.0
// Python arrays to views: NumPy through the buffer protocol, other libraries through DLPack.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>
#include <utility>

#include "exchange.hpp"
#include "gossamer/views.hpp"

namespace gossamer::python {

namespace nb = nanobind;

using InputArray = nb::ndarray<nb::ro>;
using OutputArray = nb::ndarray<>;

/// An InputArray or OutputArray that is kept no longer than a call; PyTorch's tensors, which
/// describe themselves in C, come in ten times as fast.
template <class Array>
struct Operand {
  std::optional<nb::dlpack::dltensor> tensor;
  Array array;  ///< without a tensor
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
    make_caster<Array> caster;
    if (!caster.from_python(source, flags, cleanup)) return false;
    value.array = std::move(caster.value);
    return true;
  }
};
