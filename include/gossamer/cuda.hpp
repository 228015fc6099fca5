// SPDX-License-Identifier: Apache-2.0
// The CUDA half of the engine, in the library gossamer_cuda. No CUDA header is needed to include
// it.
//
// Device operations stand in gossamer/cuda/<operation>.hpp under the names of the host's. They take
// the same views, whose pointers are device pointers of the stream's device, and work on the
// caller's stream: unless an operation says otherwise it does not synchronize, allocates nothing,
// and can be captured in a CUDA graph. Results are valid when the stream has reached that point.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace gossamer::cuda {

/// A stream of a device, as the CUDA runtime numbers devices.
struct Stream {
  int device = 0;
  void* handle = nullptr;  ///< a cudaStream_t; null is the device's default stream
};

/// Device memory that an operation may use until the stream has passed it.
struct Workspace {
  void* data = nullptr;   ///< aligned to 256 bytes
  std::size_t bytes = 0;  ///< at least what the operation's workspace function returns
};

/// A CUDA call that failed; the message names the operation and has CUDA's reason.
struct CudaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Why no CUDA device can be used, in CUDA's words; empty if one can.
std::string unavailable();

/// Whether a CUDA device can be used.
inline bool available() { return unavailable().empty(); }

/// Number of CUDA devices; 0 where none can be used.
int device_count();

/// What one device is.
struct DeviceProperties {
  std::string name;
  int multiprocessors = 0;
  int compute_capability = 0;    ///< 10 major + minor, such as 90
  std::size_t shared_bytes = 0;  ///< shared memory that a block may have
};

/// Looked up once for each device. Throws InvalidArgument for a device that is not there.
const DeviceProperties& device_properties(int device);

/// Number of the capture into a graph that the stream takes part in; 0 where it takes part in none.
unsigned long long capture_id(Stream stream);

/// Calls `release(state)` once, when neither the graph that the stream is being captured in nor
/// anything made of it is left, nor a replay under way; at once if this throws. A thread of CUDA's
/// may call it, so it must not wait, nor call CUDA. Throws CudaError, also outside of captures.
void release_with_graph(Stream stream, void (*release)(void*), void* state);

}  // namespace gossamer::cuda
