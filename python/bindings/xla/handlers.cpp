// SPDX-License-Identifier: Apache-2.0
// The engine's operations as handlers of XLA's foreign function interface: what jax.jit calls.
//
// Structures come by address, as attributes of the call; the program that holds the call keeps them
// alive. `session` says which process they belong to.
#include <xla/ffi/api/ffi.h>

#include <cstring>
#include <exception>
#include <random>
#include <string>

#include "../last_axes.hpp"
#include "../module.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/matmul.hpp"
#include "gossamer/packed.hpp"
#include "gossamer/sddmm.hpp"
#include "gossamer/spgemm.hpp"
#include "gossamer/structure.hpp"
#include "gossamer/values.hpp"

namespace gossamer::python {
namespace {

namespace ffi = xla::ffi;
using Buffer = ffi::AnyBuffer;
using Output = ffi::Result<ffi::AnyBuffer>;
using Address = std::int64_t;

/// A number that no other process has.
std::int64_t this_session() {
  static const std::int64_t number = [] {
    std::random_device random;
    return (std::int64_t{random()} << 31) ^ std::int64_t{random()};
  }();
  return number;
}

DType dtype_of(const Buffer& buffer) {
  switch (buffer.element_type()) {
    case ffi::DataType::F16:
      return DType::float16;
    case ffi::DataType::BF16:
      return DType::bfloat16;
    case ffi::DataType::F32:
      return DType::float32;
    case ffi::DataType::F64:
      return DType::float64;
    case ffi::DataType::C64:
      return DType::complex64;
    case ffi::DataType::C128:
      return DType::complex128;
    default:
      throw InvalidDType("an array of a program that XLA compiled has an unsupported element type");
  }
}

/// A view of a row-major buffer; swapped exchanges its last two axes.
ArrayView view(const Buffer& buffer, bool swapped = false) {
  const auto lengths = buffer.dimensions();
  if (lengths.size() > static_cast<std::size_t>(ArrayView::max_rank)) {
    throw InvalidArgument("an array has rank " + std::to_string(lengths.size()));
  }
  ArrayView view;
  view.data = buffer.untyped_data();
  view.dtype = dtype_of(buffer);
  view.rank = static_cast<int>(lengths.size());
  std::int64_t stride = 1;
  for (int axis = view.rank - 1; axis >= 0; --axis) {
    view.shape[axis] = lengths[static_cast<std::size_t>(axis)];
    view.strides[axis] = stride;
    stride *= view.shape[axis];
  }
  if (swapped) swap_last_axes(view);
  return view;
}

template <class Structure>
const Structure& at(Address address) {
  return *reinterpret_cast<const Structure*>(address);
}

CsrView csr(Address pattern, const Buffer& values) {
  return {at<CsrPattern>(pattern), dtype_of(values), values.untyped_data()};
}

PackedDType packed_dtype_of(const Buffer& values) {
  return packed_dtype(std::string(name(dtype_of(values))));
}

/// Runs body; what it throws becomes the program's error.
template <class Body>
ffi::Error run(std::int64_t session, Body&& body) {
  if (session != this_session()) {
    return ffi::Error(ffi::ErrorCode::kFailedPrecondition,
                      "the program was compiled in another process, for its sparse arrays");
  }
  try {
    body();
    return ffi::Error::Success();
  } catch (const std::exception& error) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument, error.what());
  }
}

ffi::Error run_matmul(Buffer values, Buffer x, Output y, std::int64_t session, Address pattern,
                      bool swapped) {
  return run(session, [&] { matmul(csr(pattern, values), view(x, swapped), view(*y, swapped)); });
}

ffi::Error run_sddmm(Buffer u, Buffer v, Output values, std::int64_t session, Address pattern) {
  return run(session,
             [&] { sddmm(at<CsrPattern>(pattern), view(u), view(v), values->untyped_data()); });
}

ffi::Error run_spgemm(Buffer a_values, Buffer b_values, Output values, std::int64_t session,
                      Address a, Address b, Address product, bool transpose_b) {
  return run(session, [&] {
    spgemm_masked(csr(a, a_values), csr(b, b_values), at<CsrPattern>(product),
                  values->untyped_data(), transpose_b);
  });
}

ffi::Error run_segment_sum(Buffer values, Output sums, std::int64_t session, Address index_map,
                           Address segments, bool is_wide) {
  return run(session, [&] {
    const DType dtype = dtype_of(values), index_dtype = is_wide ? DType::int64 : DType::int32;
    const auto count = static_cast<std::int64_t>(sums->element_count());
    const void* const map = reinterpret_cast<const void*>(index_map);
    if (segments == 0) {
      gather(dtype, values.untyped_data(), index_dtype, map, count, sums->untyped_data());
    } else {
      segment_sum(dtype, values.untyped_data(), index_dtype, map,
                  reinterpret_cast<const void*>(segments), count, sums->untyped_data());
    }
  });
}

ffi::Error run_todense(Buffer values, Output dense, std::int64_t session, Address pattern,
                       bool transposed) {
  return run(session, [&] { todense(csr(pattern, values), view(*dense, transposed)); });
}

ffi::Error run_packed_matmul(Buffer x, Output y, std::int64_t session, Address matrix,
                             bool transpose, bool swapped) {
  return run(session, [&] {
    packed_matmul(at<PackedView>(matrix), view(x, swapped), view(*y, swapped), transpose);
  });
}

/// Copies x where the values are those of a packed matrix, and fails where they are not.
ffi::Error run_verified(Buffer values, Buffer x, Output y, std::int64_t session, Address matrix) {
  return run(session, [&] {
    const void* const own = at<PackedView>(matrix).values;
    const void* const given = values.untyped_data();
    if (given != own && std::memcmp(given, own, values.size_bytes()) != 0) {
      throw InvalidArgument(
          "a packed array got other values as a leaf: they are rounded and stay as they are; pack "
          "it as float32, float16 or bfloat16");
    }
    std::memcpy(y->untyped_data(), x.untyped_data(), x.size_bytes());
  });
}

ffi::Error run_tracked_packed_matmul(Buffer values, Buffer x, Output y, std::int64_t session,
                                     Address matrix, bool transpose, bool swapped) {
  return run(session, [&] {
    PackedView packed = at<PackedView>(matrix);
    packed.values = values.untyped_data();
    packed.dtype = packed_dtype_of(values);
    packed_matmul(packed, view(x, swapped), view(*y, swapped), transpose);
  });
}

/// What every call of one or two arrays begins with.
auto unary() { return ffi::Ffi::Bind().Arg<Buffer>().Ret<Buffer>().Attr<std::int64_t>("session"); }
auto binary() {
  return ffi::Ffi::Bind().Arg<Buffer>().Arg<Buffer>().Ret<Buffer>().Attr<std::int64_t>("session");
}

XLA_FFI_DEFINE_HANDLER(handle_matmul, run_matmul,
                       binary().Attr<Address>("pattern").Attr<bool>("swapped"));
XLA_FFI_DEFINE_HANDLER(handle_sddmm, run_sddmm, binary().Attr<Address>("pattern"));
XLA_FFI_DEFINE_HANDLER(
    handle_spgemm, run_spgemm,
    binary().Attr<Address>("a").Attr<Address>("b").Attr<Address>("product").Attr<bool>(
        "transpose_b"));
XLA_FFI_DEFINE_HANDLER(
    handle_segment_sum, run_segment_sum,
    unary().Attr<Address>("index_map").Attr<Address>("segments").Attr<bool>("is_wide"));
XLA_FFI_DEFINE_HANDLER(handle_todense, run_todense,
                       unary().Attr<Address>("pattern").Attr<bool>("transposed"));
XLA_FFI_DEFINE_HANDLER(
    handle_packed_matmul, run_packed_matmul,
    unary().Attr<Address>("matrix").Attr<bool>("transpose").Attr<bool>("swapped"));
XLA_FFI_DEFINE_HANDLER(handle_verified, run_verified, binary().Attr<Address>("matrix"));
XLA_FFI_DEFINE_HANDLER(
    handle_tracked_packed_matmul, run_tracked_packed_matmul,
    binary().Attr<Address>("matrix").Attr<bool>("transpose").Attr<bool>("swapped"));

}  // namespace

void bind_xla(nanobind::module_& m) {
  m.def("xla_session", &this_session, "Number of this process in programs that XLA compiles.");
  m.def(
      "xla_handlers",
      [] {
        nanobind::dict handlers;
        const auto add = [&](const char* name, XLA_FFI_Handler* handler) {
          handlers[name] = nanobind::capsule(reinterpret_cast<void*>(handler));
        };
        add("matmul", handle_matmul);
        add("sddmm", handle_sddmm);
        add("spgemm", handle_spgemm);
        add("segment_sum", handle_segment_sum);
        add("todense", handle_todense);
        add("packed_matmul", handle_packed_matmul);
        add("tracked_packed_matmul", handle_tracked_packed_matmul);
        add("verified", handle_verified);
        return handlers;
      },
      "Operations as capsules for jax.ffi.register_ffi_target; empty if this build has none.");
}

}  // namespace gossamer::python
