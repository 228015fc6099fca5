// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gossamer {

/// Number of threads that an operation may use, the calling one included.
///
/// Starts as GOSSAMER_NUM_THREADS, or else, or where that is empty, as the number of cores this
/// process may run on. Throws InvalidArgument, as every operation then does, if that variable is no
/// number in 1..4096.
int num_threads();

/// Sets it for the whole process. Results do not depend on it. Throws InvalidArgument if below 1.
void set_num_threads(int count);

/// Entry point of an OpenMP runtime that runs part(context) on every thread of a team and waits.
///
/// The ABI of libgomp, which LLVM's and Intel's runtimes have too; `threads` 0 means the team's
/// usual size.
using OpenMpParallel = void (*)(void (*part)(void* context), void* context, unsigned threads,
                                unsigned flags);

/// Runs operations that this thread calls on a team of that runtime from now on, on at most
/// num_threads() of it; on the engine's own threads again if null. Returns what it used before.
///
/// For calls on behalf of a library that keeps a team: two sets of threads, of which one spins
/// while the other works, take the cores from each other. Results do not depend on it. A forked
/// child uses the engine's own threads.
OpenMpParallel use_openmp(OpenMpParallel parallel);

}  // namespace gossamer
