// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/engine.h"
#include "engine/runtime/cpu_engine.h"
#ifdef SPANLM_WITH_CUDA
#include "engine/runtime/torch_engine.h"
#endif

namespace spanlm {

absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(
    const std::string& model_dir, const EngineOptions& options) {
  const bool is_cuda =
      options.device == "cuda" || absl::StartsWith(options.device, "cuda:");
  if (options.device != "cpu" && !is_cuda) {
    return absl::InvalidArgumentError(absl::StrCat(
        "device: \"", options.device, "\", want cpu, cuda or cuda:N"));
  }
#ifndef SPANLM_WITH_CUDA
  if (is_cuda) {
    return absl::UnimplementedError(absl::StrCat(
        "device: \"", options.device, "\": this build holds no CUDA engine"));
  }
#endif
  SPANLM_RETURN_IF_ERROR(CheckEngineOptions(options));
  SPANLM_ASSIGN_OR_RETURN(const ModelDir model, ModelDir::Open(model_dir));
  const ModelIdentity identity = {model.digest(), model.parameter_count()};
#ifdef SPANLM_WITH_CUDA
  if (is_cuda) {
    return CreateTorchEngine(model.config(), model, identity, options);
  }
#endif
  SPANLM_ASSIGN_OR_RETURN(
      std::unique_ptr<Engine> engine,
      CpuEngine::Create(model.config(), model, identity, options));
  return engine;
}

}  // namespace spanlm
