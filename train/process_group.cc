// SPDX-License-Identifier: Apache-2.0
#include "train/process_group.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <dlfcn.h>
#include <net/if.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <cstdlib>
#include <future>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/runtime/torch_guard.h"
#ifdef SPANLM_WITH_CUDA
#include "engine/runtime/device.h"
#include "train/nccl_backend.h"
#endif

namespace spanlm {
namespace {

// How long a process waits for the others; a lost one is missed no later.
constexpr std::chrono::seconds kTimeout{45};
// How often processes meet while the first one works alone.
constexpr std::chrono::milliseconds kMeeting{200};

class GroupOfOne : public ProcessGroup {
 public:
  using ProcessGroup::ProcessGroup;

  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::function<void()> StartSum(const at::Tensor& /*tensor*/) override {
    return [] {};
  }
  void TakeFirst(const std::vector<at::Tensor>& /*tensors*/) override {}
  at::Tensor Stack(const at::Tensor& tensor) override { return tensor; }
};

// Over gloo or NCCL, which see tensors of their device only.
class BackendGroup : public ProcessGroup {
 public:
  BackendGroup(at::Device device, c10::intrusive_ptr<c10d::Backend> backend)
      : ProcessGroup(device), backend_(std::move(backend)) {}

  int rank() const override { return backend_->getRank(); }
  int size() const override { return backend_->getSize(); }

  std::function<void()> StartSum(const at::Tensor& tensor) override {
    std::vector<at::Tensor> here = {tensor.to(device())};
    return [tensor, here, work = backend_->allreduce(here)] {
      work->wait();
      CopyBack(here[0], tensor);
    };
  }

  void TakeFirst(const std::vector<at::Tensor>& tensors) override {
    for (const at::Tensor& tensor : tensors) {
      std::vector<at::Tensor> here = {tensor.detach().to(device())};
      backend_->broadcast(here)->wait();
      CopyBack(here[0], tensor);
    }
  }

  at::Tensor Stack(const at::Tensor& tensor) override {
    std::vector<at::Tensor> input = {tensor.to(device()).contiguous()};
    std::vector<std::vector<at::Tensor>> outputs(1);
    for (int i = 0; i < size(); ++i) {
      outputs[0].push_back(at::empty_like(input[0]));
    }
    backend_->allgather(outputs, input)->wait();
    return at::cat(outputs[0], 0);
  }

 private:
  // Of a tensor that did not have to move, `here` is the same memory.
  static void CopyBack(const at::Tensor& here, const at::Tensor& tensor) {
    if (here.device() == tensor.device()) return;
    at::NoGradGuard no_grad;
    at::Tensor(tensor).copy_(here);
  }

  const c10::intrusive_ptr<c10d::Backend> backend_;
};

using Store = c10::intrusive_ptr<c10d::Store>;
using Backend = c10::intrusive_ptr<c10d::Backend>;

constexpr char kInterface[] = "GLOO_SOCKET_IFNAME";

const char* Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Over the interface that GLOO_SOCKET_IFNAME names, as under torchrun; without
// it, over that of the host's name.
Backend NewGloo(const GroupAddress& address, const Store& store) {
  const auto options = c10d::ProcessGroupGloo::Options::create();
  options->timeout = kTimeout;
  const std::string interface = Variable(kInterface);
  options->devices.push_back(
      interface.empty()
          ? c10d::ProcessGroupGloo::createDefaultDevice()
          : c10d::ProcessGroupGloo::createDeviceForInterface(interface));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, address.rank,
                                                     address.size, options);
}

#ifdef SPANLM_WITH_CUDA
absl::StatusOr<Backend> NewNccl(const GroupAddress& address,
                                const Store& store) {
  void* const library = dlopen(kNcclLibrary, RTLD_NOW);
  void* const maker =
      library == nullptr ? nullptr : dlsym(library, kNcclBackendMaker);
  if (maker == nullptr) return absl::FailedPreconditionError(dlerror());
  Backend backend;
  reinterpret_cast<NcclBackendMaker*>(maker)(store, address.rank, address.size,
                                             kTimeout, &backend);
  return backend;
}
#endif

absl::StatusOr<Backend> NewBackend(const GroupAddress& address,
                                   [[maybe_unused]] at::Device device,
                                   const Store& store) {
#ifdef SPANLM_WITH_CUDA
  if (device.is_cuda()) return NewNccl(address, store);
#endif
  return NewGloo(address, store);
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

// The GPU of this process; LibTorch's own CUDA code is loaded with it.
absl::StatusOr<at::Device> OpenDevice(const std::string& name) {
  if (name == "cpu") return at::Device(at::kCPU);
#ifdef SPANLM_WITH_CUDA
  int index = 0;
  if (*Variable("LOCAL_RANK") != '\0') {
    SPANLM_ASSIGN_OR_RETURN(index, ReadVariable("LOCAL_RANK", 0, 127));
  }
  const absl::StatusOr<CudaDevice> device =
      OpenCudaDevice(absl::StrCat("cuda:", index));
  if (device.ok()) return at::Device(at::kCUDA, device->index);
  const std::string reason(device.status().message());
#else
  const std::string reason = "this program was built without CUDA";
#endif
  return absl::InvalidArgumentError(
      absl::StrCat("--device is \"", name, "\", but ", reason, "; want cpu"));
}

}  // namespace

std::unique_ptr<ProcessGroup> ProcessGroup::Alone(at::Device device) {
  return std::make_unique<GroupOfOne>(device);
}

absl::Status ProcessGroup::RunInFirst(
    const std::function<absl::Status()>& work) {
  if (size() == 1) return work();
  std::future<absl::Status> result;
  if (is_first()) result = std::async(std::launch::async, work);
  absl::Status status;
  for (bool goes_on = true; goes_on;) {
    goes_on =
        is_first() && result.wait_for(kMeeting) != std::future_status::ready;
    if (is_first() && !goes_on) status = result.get();
    const at::Tensor said =
        at::tensor({goes_on ? 1.0 : 0.0, status.ok() ? 0.0 : 1.0},
                   at::TensorOptions().dtype(at::kDouble));
    Sum(said);
    goes_on = said[0].item<double>() > 0;
    if (!is_first() && said[1].item<double>() > 0) {
      status = absl::InternalError(
          "the first process could not do its part; see what it says");
    }
  }
  return status;
}

absl::StatusOr<std::unique_ptr<ProcessGroup>> ProcessGroup::Connect(
    const GroupAddress& address, at::Device device) {
  if (address.size == 1) return Alone(device);
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
    const Store store =
        c10::make_intrusive<c10d::TCPStore>(address.host, options);
    SPANLM_ASSIGN_OR_RETURN(const Backend backend,
                            NewBackend(address, device, store));
    group = std::make_unique<BackendGroup>(device, backend);
    return absl::OkStatus();
  });
  if (status.ok()) return group;
  return absl::UnavailableError(status.message());
}

absl::StatusOr<std::unique_ptr<ProcessGroup>> ProcessGroup::FromEnvironment(
    const std::string& device_name) {
  SPANLM_ASSIGN_OR_RETURN(const at::Device device, OpenDevice(device_name));
  GroupAddress address;
  if (*Variable("WORLD_SIZE") == '\0') return Alone(device);
  SPANLM_ASSIGN_OR_RETURN(address.size, ReadVariable("WORLD_SIZE", 1, 4096));
  if (address.size == 1) return Alone(device);
  SPANLM_ASSIGN_OR_RETURN(address.rank,
                          ReadVariable("RANK", 0, address.size - 1));
  SPANLM_ASSIGN_OR_RETURN(address.port, ReadVariable("MASTER_PORT", 1, 65535));
  address.host = Variable("MASTER_ADDR");
  if (address.host.empty()) {
    return absl::InvalidArgumentError(
        "environment variable MASTER_ADDR is empty, want the first process's "
        "host (torchrun sets it)");
  }
  const char* const interface = Variable(kInterface);
  if (*interface != '\0' && if_nametoindex(interface) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("environment variable ", kInterface, " is \"", interface,
                     "\", which is no network interface of this host"));
  }
  // torchrun keeps the store itself where it says so.
  address.first_listens =
      absl::string_view(Variable("TORCHELASTIC_USE_AGENT_STORE")) != "True";
  return Connect(address, device);
}

}  // namespace spanlm
