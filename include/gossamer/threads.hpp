// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gossamer {

/// Number of threads that an operation may use, the calling one included.
///
/// Starts as GOSSAMER_NUM_THREADS, or else as the number of cores this process may run on.
int num_threads();

/// Sets it for the whole process. Results do not depend on it. Throws InvalidArgument if below 1.
void set_num_threads(int count);

}  // namespace gossamer
