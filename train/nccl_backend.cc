// SPDX-License-Identifier: Apache-2.0
#include "train/nccl_backend.h"

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <type_traits>

extern "C" void spanlm_new_nccl_backend(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
    std::chrono::milliseconds timeout,
    c10::intrusive_ptr<c10d::Backend>* backend) {
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  *backend =
      c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
}

static_assert(std::is_same_v<decltype(spanlm_new_nccl_backend),
                             spanlm::NcclBackendMaker>);
// The options hold NCCL's, which grow from version to version: as LibTorch's.
static_assert(NCCL_MAJOR == 2 && NCCL_MINOR == 28, "want the nccl.h of 2.28");
