// SPDX-License-Identifier: Apache-2.0
// CUDA's stream handle, named without CUDA's headers.
#pragma once

struct CUstream_st;

namespace spanlm::kernels {

using Stream = CUstream_st*;  // nullptr: the default stream

}  // namespace spanlm::kernels
