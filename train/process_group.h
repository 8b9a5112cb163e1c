// SPDX-License-Identifier: Apache-2.0
// The processes of one training job, as torchrun starts them.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace spanlm {

// Where the processes of a job meet, and which of them this is.
struct GroupAddress {
  int rank = 0;
  int size = 1;
  std::string host;  // of the first process
  int port = 0;      // at which it, or torchrun for it, listens
  bool first_listens = true;
};

// Which process of how many this is, and what they do together. Every method is
// called by all of them in the same order; each throws what LibTorch throws
// where another process is lost (within a minute). One thread at a time.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;

  // The group that RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT name; a group
  // of one where WORLD_SIZE is unset or 1. kInvalidArgument names the variable
  // and its value; else Connect's errors.
  static absl::StatusOr<std::unique_ptr<ProcessGroup>> FromEnvironment();
  // Over gloo. kUnavailable: the others were not met within a minute.
  static absl::StatusOr<std::unique_ptr<ProcessGroup>> Connect(
      const GroupAddress& address);
  static std::unique_ptr<ProcessGroup> Alone();

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Whether this is the process that logs and saves.
  bool is_first() const { return rank() == 0; }

  // Replaces each tensor by the sum over all processes.
  virtual void Sum(const std::vector<at::Tensor>& tensors) = 0;
  // Replaces each tensor by the first process's.
  virtual void TakeFirst(const std::vector<at::Tensor>& tensors) = 0;
  // The processes' tensors, of one shape, one below the other along dimension
  // 0, in every process.
  virtual at::Tensor Stack(const at::Tensor& tensor) = 0;
};

}  // namespace spanlm
