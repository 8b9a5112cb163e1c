// SPDX-License-Identifier: Apache-2.0
// Engine over LibTorch's products and our kernels: weights, caches and steps
// live on a CUDA device. No LibTorch in this header.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/runtime/engine_facts.h"
#include "engine/tensor_view.h"

namespace spanlm {

// `tensors` is read now and not kept. options.device is "cuda" or "cuda:N"; or
// "cpu", which runs the same code over the CPU's kernels, so that it can be
// tested without a device. Errors: CheckEngineOptions', OpenCudaDevice's,
// MakeModelTables'; kResourceExhausted when the model or the caches do not fit.
//
// Equal steps give equal bits. LibTorch picks its products by the number of
// rows, so bits may differ with the company of a step.
absl::StatusOr<std::unique_ptr<Engine>> CreateTorchEngine(
    const ModelConfig& config, const TensorSource& tensors,
    const ModelIdentity& identity, const EngineOptions& options);

}  // namespace spanlm
