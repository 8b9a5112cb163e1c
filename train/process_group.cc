// SPDX-License-Identifier: Apache-2.0
#include "train/process_group.h"

#include <ATen/Functions.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/runtime/torch_guard.h"

namespace spanlm {
namespace {

// How long a process waits for the others; a lost one is missed no later.
constexpr std::chrono::seconds kTimeout{45};
// Elements of a flat bucket: few messages, and none much larger than a cache.
constexpr int64_t kBucketElements = int64_t{1} << 20;

class GroupOfOne : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void Sum(const std::vector<at::Tensor>& /*tensors*/) override {}
  void TakeFirst(const std::vector<at::Tensor>& /*tensors*/) override {}
  at::Tensor Stack(const at::Tensor& tensor) override { return tensor; }
};

// Consecutive tensors of one type as flat buckets, and back.
template <typename Exchange>
void InBuckets(const std::vector<at::Tensor>& tensors,
               const Exchange& exchange) {
  at::NoGradGuard no_grad;
  for (size_t begin = 0; begin < tensors.size();) {
    std::vector<at::Tensor> flat;
    int64_t elements = 0;
    size_t end = begin;
    while (end < tensors.size() && elements < kBucketElements &&
           tensors[end].scalar_type() == tensors[begin].scalar_type()) {
      elements += tensors[end].numel();
      flat.push_back(tensors[end].reshape({-1}));
      ++end;
    }
    std::vector<at::Tensor> bucket = {at::cat(flat, 0)};
    exchange(bucket);
    int64_t offset = 0;
    for (size_t i = begin; i < end; ++i) {
      const int64_t count = tensors[i].numel();
      at::Tensor(tensors[i])
          .copy_(bucket[0].narrow(0, offset, count).view(tensors[i].sizes()));
      offset += count;
    }
    begin = end;
  }
}

class GlooGroup : public ProcessGroup {
 public:
  GlooGroup(c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo)
      : gloo_(std::move(gloo)) {}

  int rank() const override { return gloo_->getRank(); }
  int size() const override { return gloo_->getSize(); }

  void Sum(const std::vector<at::Tensor>& tensors) override {
    InBuckets(tensors, [this](std::vector<at::Tensor>& bucket) {
      gloo_->allreduce(bucket)->wait();
    });
  }

  void TakeFirst(const std::vector<at::Tensor>& tensors) override {
    InBuckets(tensors, [this](std::vector<at::Tensor>& bucket) {
      gloo_->broadcast(bucket)->wait();
    });
  }

  at::Tensor Stack(const at::Tensor& tensor) override {
    std::vector<at::Tensor> input = {tensor.contiguous()};
    std::vector<std::vector<at::Tensor>> outputs(1);
    for (int i = 0; i < size(); ++i) {
      outputs[0].push_back(at::empty_like(input[0]));
    }
    gloo_->allgather(outputs, input)->wait();
    return at::cat(outputs[0], 0);
  }

 private:
  const c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
};

const char* Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

absl::StatusOr<int> ReadVariable(const char* name, int low, int high) {
  const char* text = Variable(name);
  int value = 0;
  if (absl::SimpleAtoi(text, &value) && value >= low && value <= high) {
    return value;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("environment variable ", name, " is \"", text, "\", want ",
                   low, " to ", high, " (torchrun sets it)"));
}

}  // namespace

std::unique_ptr<ProcessGroup> ProcessGroup::Alone() {
  return std::make_unique<GroupOfOne>();
}

absl::StatusOr<std::unique_ptr<ProcessGroup>> ProcessGroup::Connect(
    const GroupAddress& address) {
  if (address.size == 1) return Alone();
  std::unique_ptr<ProcessGroup> group;
  const std::string place =
      absl::StrCat("process ", address.rank, " of ", address.size,
                   ", meeting at ", address.host, ":", address.port);
  const absl::Status status = GuardTorch(place, [&]() -> absl::Status {
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(address.port);
    options.isServer = address.first_listens && address.rank == 0;
    options.numWorkers = static_cast<std::size_t>(address.size);
    options.waitWorkers = false;
    options.timeout = kTimeout;
    const auto store =
        c10::make_intrusive<c10d::TCPStore>(address.host, options);
    const auto gloo = c10d::ProcessGroupGloo::Options::create();
    gloo->timeout = kTimeout;
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    group =
        std::make_unique<GlooGroup>(c10::make_intrusive<c10d::ProcessGroupGloo>(
            store, address.rank, address.size, gloo));
    return absl::OkStatus();
  });
  if (status.ok()) return group;
  return absl::UnavailableError(status.message());
}

absl::StatusOr<std::unique_ptr<ProcessGroup>> ProcessGroup::FromEnvironment() {
  GroupAddress address;
  if (*Variable("WORLD_SIZE") == '\0') return Alone();
  SPANLM_ASSIGN_OR_RETURN(address.size, ReadVariable("WORLD_SIZE", 1, 4096));
  if (address.size == 1) return Alone();
  SPANLM_ASSIGN_OR_RETURN(address.rank,
                          ReadVariable("RANK", 0, address.size - 1));
  SPANLM_ASSIGN_OR_RETURN(address.port, ReadVariable("MASTER_PORT", 1, 65535));
  address.host = Variable("MASTER_ADDR");
  if (address.host.empty()) {
    return absl::InvalidArgumentError(
        "environment variable MASTER_ADDR is empty, want the first process's "
        "host (torchrun sets it)");
  }
  // torchrun keeps the store itself where it says so.
  address.first_listens =
      absl::string_view(Variable("TORCHELASTIC_USE_AGENT_STORE")) != "True";
  return Connect(address);
}

}  // namespace spanlm
