// SPDX-License-Identifier: Apache-2.0
#include "engine/attention/span_mask.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>

namespace spanlm {

LayerWindow WindowOfLayer(absl::Span<const float> spans,
                          const SpanGeometry& geometry) {
  const double size = geometry.attn_span;
  double longest = spans.empty() ? 0 : spans[0];
  double sum = 0;
  for (const float span : spans) {
    longest = std::max<double>(longest, span);
    sum += span;
  }
  const double mean = spans.empty() ? 0 : sum / spans.size();
  const auto clamped = [&](double span) {
    return static_cast<int32_t>(
        std::clamp(std::ceil(span * size) + geometry.ramp, 0.0, size));
  };
  LayerWindow result;
  result.max_size = clamped(longest);
  result.average_span = clamped(mean);
  const int32_t rounding = geometry.block_rounding;
  const int32_t unused =
      std::min(geometry.attn_span - 1, geometry.attn_span - result.max_size);
  result.window = geometry.attn_span - unused / rounding * rounding;
  result.cache_rows = std::min(geometry.attn_span, result.window + rounding);
  return result;
}

at::Tensor ExactMaskTemplate(int32_t attn_span, at::ScalarType dtype) {
  return at::arange(1 - attn_span, 1, at::TensorOptions().dtype(dtype));
}

at::Tensor SoftMask(const at::Tensor& spans, const at::Tensor& mask_template,
                    const SpanGeometry& geometry) {
  const at::Tensor reach =
      mask_template.unsqueeze(0) + spans.unsqueeze(1) * geometry.attn_span;
  return (reach / geometry.ramp + 1).clamp(0, 1);
}

}  // namespace spanlm
