// SPDX-License-Identifier: Apache-2.0
// What the library of nccl_backend.cc offers to who loads it: it needs
// libtorch_cuda, which not every machine can load, so no program links it
// (docs/decisions/0014).
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>

namespace spanlm {

inline constexpr char kNcclLibrary[] = "libspanlm_nccl.so";
inline constexpr char kNcclBackendMaker[] = "spanlm_new_nccl_backend";

// Process `rank` of `size`, which meet at `store` and give each other up after
// `timeout`. Throws what LibTorch throws.
using NcclBackendMaker = void(const c10::intrusive_ptr<c10d::Store>& store,
                              int rank, int size,
                              std::chrono::milliseconds timeout,
                              c10::intrusive_ptr<c10d::Backend>* backend);

}  // namespace spanlm
