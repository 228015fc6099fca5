// SPDX-License-Identifier: Apache-2.0
// Packed matrices on a GPU: packing, unpacking, and products. Views and outputs point to device
// memory of the stream's device; formats and bytes are the host's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "gossamer/cuda.hpp"
#include "gossamer/packed.hpp"

namespace gossamer::cuda {

// ---- Packing ------------------------------------------------------------------------------------

/// Bytes of workspace for count_packed.
std::size_t count_packed_workspace(std::int64_t rows);

/// First phase of packing: for each of packed_formats the running sums of the rows' slots.
///
/// dense is as on the host. offsets: (formats, m + 1) of int64 in C order, written: a format's row
/// offsets, the last one its slots.
void count_packed(const ArrayView& dense, double threshold, std::int64_t* offsets,
                  Workspace workspace, Stream stream);

/// Scales as on the host, bit for bit; NaN for a row that holds an infinite or NaN element.
void row_scales(const ArrayView& dense, double threshold, PackedDType dtype, float* scales,
                Stream stream);

/// Second phase: writes values and positions, byte for byte what the host writes.
///
/// What the host refuses (offsets that do not fit the counts, a scale that is not positive and
/// finite, elements that are not finite for an 8-bit type) is the caller's promise here: a look at
/// it would synchronize. `slots` is the last row offset.
void pack(const ArrayView& dense, double threshold, const PackedOutput& packed, std::int64_t slots,
          Stream stream);

/// Writes the matrix into dense (m, n) of float32, float16 or bfloat16, any strides, zeros
/// included. Not `scaled`: values of 8-bit types without their scales, which every type holds.
void unpack(const PackedView& packed, const ArrayView& dense, Stream stream, bool scaled = true);

// ---- Products -----------------------------------------------------------------------------------

/// A packed matrix laid out for a kernel of products, in memory that the caller owns.
///
/// Made in two phases: a factory below counts and plans, then fill writes `bytes` bytes. Both
/// synchronize; products do not. Immutable after fill; any number of streams may use it at once,
/// each with a workspace of its own.
class Arrangement {
 public:
  virtual ~Arrangement() = default;

  /// Bytes of device memory that fill writes.
  virtual std::size_t bytes() const = 0;

  /// Writes the arrangement of the packed matrix that it was planned for into `memory`, aligned to
  /// 256 bytes, which must live as long as products are made. The workspace is the factory's, as
  /// the factory left it.
  virtual void fill(const PackedView& packed, void* memory, Workspace workspace, Stream stream) = 0;

  /// Writes the matrix into dense, as gossamer::cuda::unpack does: the packed matrix need not be
  /// kept.
  virtual void unpack(const ArrayView& dense, Stream stream, bool scaled = true) const = 0;

  /// Bytes of workspace of a product with that many vectors: a quarter of a MiB at most with up to
  /// 16, then a few MiB.
  virtual std::size_t workspace_bytes(std::int64_t vectors) const = 0;

  /// Y = X Aᵀ: row i of Y is A times row i of X.
  ///
  /// X is (k, n) and Y (k, m), both C-contiguous, of one of the arrangement's types. The workspace
  /// is zero before the first product of a stream; every product leaves it zero, so that all
  /// products of the stream share it. Sums run in float32 and give the same bits every time. A
  /// stored zero, a filler and a position that is not stored contribute 0 · x: an infinite or NaN x
  /// makes NaN of results whose rows do not store its column, too.
  ///
  /// overlap: the launch may begin while the kernel before it on the stream ends (programmatic
  /// dependent launch, from compute capability 9.0 on). Right behind any kernel, since fill waited
  /// for the arrangement and everything else is touched after the kernel before; it pays between
  /// products of this kind, and costs up to a tenth behind others.
  /// bias: null, or m elements of y's type that are added to each of its rows, once that is
  /// rounded.
  ///
  /// With 17 vectors and more blocks wait for up to three that begin after them, so a product ends
  /// only where five multiprocessors are free of kernels that wait for it. Throws InvalidArgument,
  /// InvalidDType for operands that do not fit.
  virtual void matmul(const ArrayView& x, const ArrayView& y, Workspace workspace, Stream stream,
                      bool overlap = false, const void* bias = nullptr) const = 0;
};

/// Y = X Aᵀ as Arrangement::matmul. Without a value for overlap it is overlapped where that pays:
/// in a graph that is being captured, right behind another product, of a packed or a sparse matrix,
/// by the same thread.
void matmul(const Arrangement& a, const ArrayView& x, const ArrayView& y, Workspace workspace,
            Stream stream, std::optional<bool> overlap = {}, const void* bias = nullptr);

/// Y = A X for each member of a batch: X (b, n, k) of any strides, Y (b, m, k) C-contiguous.
/// scratch holds copies of both with their columns as rows: b k (n + m) elements. Throws
/// InvalidArgument, InvalidDType for operands that do not fit.
void matmul_columns(const Arrangement& a, const ArrayView& x, const ArrayView& y, Workspace scratch,
                    Workspace workspace, Stream stream, std::optional<bool> overlap = {});

/// Bytes of workspace for arrange_delta_rows.
std::size_t delta_rows_workspace(const PackedView& packed);

/// For products with one vector, or few: a kernel that walks the nonzeros of sixteen rows at once.
///
/// x and y have one type: float32, or the values' own; for 8-bit values also float16 or bfloat16.
/// Throws InvalidArgument beyond 2^28 columns or 2^30 rows.
std::unique_ptr<Arrangement> arrange_delta_rows(const PackedView& packed, Workspace workspace,
                                                Stream stream);

/// Bytes of workspace for arrange_bitmap_tiles: the dense matrix and a little.
std::size_t bitmap_tiles_workspace(const PackedView& packed);

/// For products with several vectors on the tensor cores, 64 a launch: values, x and y of float16
/// or of bfloat16, on devices for which has_bitmap_tiles says so.
std::unique_ptr<Arrangement> arrange_bitmap_tiles(const PackedView& packed, Workspace workspace,
                                                  Stream stream);

/// Whether arrange_bitmap_tiles takes that matrix on that device: 16-bit values, not too many
/// tiles, and compute capability 9.0.
bool has_bitmap_tiles(const PackedView& packed, int device);

}  // namespace gossamer::cuda
