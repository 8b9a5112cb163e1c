// SPDX-License-Identifier: Apache-2.0
// The Adaptive-Span Transformer in block form (Sukhbaatar et al. 2019;
// docs/model.md, "Adaptive Span").
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/model/byte_model.h"

namespace spanlm {

// Whether the parameter of that name holds learned spans.
bool IsSpan(absl::string_view name);

// See ByteModel.
class AdaptiveSpan : public ByteModel {
 public:
  AdaptiveSpan(const ModelConfig& config, at::ScalarType type);

  absl::Status Load(const TensorSource& source) override;
  void Initialize(Initialization initialization,
                  at::Generator generator) override;
  at::Tensor Forward(const at::Tensor& tokens, const PassOptions& pass,
                     ModelMemory* memory) const override;
  at::Tensor SpanSum() const override;
  void ClampSpans() override;
  std::vector<LayerWindow> windows() const override;

  // Sets every span to the same fraction of attn_span.
  void SetSpans(double fraction);
  // Rounds the mask's template to half, up to 2 positions off, as fairseq's
  // half runs do; it is saved with the model from then on.
  void RoundMaskTemplate();

 private:
  struct Layer {
    at::Tensor query, key, value, out;  // [d_model, d_model]
    at::Tensor spans;                   // [n_head, 1, 1], or [1]
    at::Tensor mask_template;           // [attn_span]
    Norm norm1, norm2;
    FeedForward ff;
  };

  void AddLayer(const std::string& prefix, at::ScalarType type);
  LayerWindow WindowOf(const Layer& layer) const;
  // [rows, block, d_model]; `context` holds the window and the block.
  at::Tensor Attend(const Layer& layer, const at::Tensor& x,
                    const at::Tensor& context, int64_t window,
                    const PassOptions& pass) const;

  SpanGeometry geometry_;
  at::Tensor embedding_;              // [vocab_size, d_model]
  at::Tensor position_keys_;          // [1, d_head, attn_span]
  at::Tensor out_weight_, out_bias_;  // [vocab_size, d_model], [vocab_size]
  std::vector<Layer> layers_;
};

}  // namespace spanlm
