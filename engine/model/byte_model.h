// SPDX-License-Identifier: Apache-2.0
// A model in block form: a block of symbols for each row in, logits out, with
// autograd. Training, `--path block` and the tests of the step form use it.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/attention/span_mask.h"
#include "engine/model/layers.h"
#include "engine/model_config.h"
#include "engine/tensor_view.h"

namespace spanlm {

// Whose distributions a model's first values come from.
enum class Initialization { kOriginal, kFairseq };

// What a model remembers of each row between blocks: every layer's last inputs,
// [rows, length, d_model], oldest first. A value; its tensors are never
// written in place.
struct ModelMemory {
  std::vector<at::Tensor> layers;
};

// Parameters and the way through them. Methods throw what LibTorch throws;
// callers stand under GuardTorch. One thread at a time.
class ByteModel {
 public:
  virtual ~ByteModel() = default;
  ByteModel(const ByteModel&) = delete;
  ByteModel& operator=(const ByteModel&) = delete;

  const ModelConfig& config() const { return config_; }
  // What training changes, in the order of model.safetensors; each requires a
  // gradient.
  const std::vector<NamedTensor>& parameters() const { return parameters_; }
  // Stored beside them, never trained.
  const std::vector<NamedTensor>& buffers() const { return buffers_; }
  int64_t parameter_count() const;

  // Fills parameters and buffers from `source`. kNotFound or kDataLoss names
  // the tensor, kFailedPrecondition one that this model was made without;
  // parameters may then be half filled.
  virtual absl::Status Load(const TensorSource& source) = 0;
  // Draws the parameters as that published code does (docs/model.md,
  // "Initialisation"); Transformer-XL's two codes draw alike.
  virtual void Initialize(Initialization initialization,
                          at::Generator generator) = 0;

  // The memory before a text's first symbol.
  virtual ModelMemory NewMemory(int64_t rows, const PassOptions& pass) const;
  // tokens int64 [rows, block] to logits [rows, block, vocab_size] in the
  // parameters' type; moves `memory` on by the block.
  virtual at::Tensor Forward(const at::Tensor& tokens, const PassOptions& pass,
                             ModelMemory* memory) const = 0;

  // Adaptive Span: Σ over layers of the heads' mean span, in positions, with
  // a gradient. Undefined for Transformer-XL, as the next three are empty.
  virtual at::Tensor SpanSum() const { return at::Tensor(); }
  // Puts every span back into [0, 1].
  virtual void ClampSpans() {}
  virtual std::vector<LayerWindow> windows() const { return {}; }

 protected:
  explicit ByteModel(ModelConfig config) : config_(std::move(config)) {}

  // Makes an empty tensor of `shape` that is trained, or stored only.
  at::Tensor AddParameter(std::string name, at::IntArrayRef shape,
                          at::ScalarType type);
  at::Tensor AddBuffer(std::string name, at::Tensor value);

  ModelConfig config_;
  std::vector<NamedTensor> parameters_;
  std::vector<NamedTensor> buffers_;
};

// A model of that shape with undefined values: call Initialize or Load. `type`
// is kFloat, or kDouble for tests. Parameters that a model need not have are
// there if `source` has them; nullptr: none.
std::unique_ptr<ByteModel> NewByteModel(const ModelConfig& config,
                                        at::ScalarType type = at::kFloat,
                                        const TensorSource* source = nullptr);

// The model of an opened directory or of an import's tensors. Errors are
// Load's, and kResourceExhausted: what one row remembers would take more than
// 4 GiB.
absl::StatusOr<std::unique_ptr<ByteModel>> LoadByteModel(
    const ModelConfig& config, const TensorSource& source,
    at::ScalarType type = at::kFloat);

}  // namespace spanlm
