// SPDX-License-Identifier: Apache-2.0
// The processes of one training job, as torchrun starts them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
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

// Which process of how many this is, where it computes, and what they do
// together. Every method is called by all of them in the same order; each
// throws what LibTorch throws where another process is lost (within a minute).
// Tensors may lie on the CPU or on device(), and are dense. One thread at a
// time.
class ProcessGroup {
 public:
  explicit ProcessGroup(at::Device device) : device_(device) {}
  virtual ~ProcessGroup() = default;

  // The group that RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT name; a group
  // of one where WORLD_SIZE is unset or 1. `device` is "cpu", or "cuda": the
  // GPU that LOCAL_RANK names, the first where it is unset. Call it before
  // LibTorch makes its first tensor. kInvalidArgument names the variable and
  // its value, or says why there is no such device; else Connect's errors.
  static absl::StatusOr<std::unique_ptr<ProcessGroup>> FromEnvironment(
      const std::string& device);
  // Over gloo on the CPU, over NCCL on a GPU. kUnavailable: the others were
  // not met within a minute.
  static absl::StatusOr<std::unique_ptr<ProcessGroup>> Connect(
      const GroupAddress& address, at::Device device);
  static std::unique_ptr<ProcessGroup> Alone(at::Device device = at::kCPU);

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Whether this is the process that logs and saves.
  bool is_first() const { return rank() == 0; }
  // Where this process computes.
  at::Device device() const { return device_; }

  // Begins to replace `tensor` by its sum over all processes. Whoever calls
  // what is returned waits for that; until then nobody touches the tensor.
  virtual std::function<void()> StartSum(const at::Tensor& tensor) = 0;
  void Sum(const at::Tensor& tensor) { StartSum(tensor)(); }
  // Replaces each tensor by the first process's.
  virtual void TakeFirst(const std::vector<at::Tensor>& tensors) = 0;
  // The processes' tensors, of one shape, one below the other along dimension
  // 0, in every process; on device().
  virtual at::Tensor Stack(const at::Tensor& tensor) = 0;

  // Runs `work` in the first process only, in a thread of its own where there
  // are others, while all of them go on meeting: it may take longer than a lost
  // process. The first process returns work's status; where that is an error,
  // the others return kInternal.
  absl::Status RunInFirst(const std::function<absl::Status()>& work);

 private:
  const at::Device device_;
};

}  // namespace spanlm
