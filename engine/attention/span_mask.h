// SPDX-License-Identifier: Apache-2.0
// How far a layer looks back: the soft mask over distances and the windows that
// follow from the learned spans (docs/model.md, 1.2).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/types/span.h"

namespace spanlm {

// What the spans of a model are fractions of.
struct SpanGeometry {
  int32_t attn_span = 0;        // S: largest distance; a multiple of rounding
  int32_t ramp = 32;            // R: positions over which the mask falls
  int32_t block_rounding = 64;  // windows are multiples of this
};

// A layer's extent, all in positions.
struct LayerWindow {
  int32_t max_size = 0;      // support of the longest head
  int32_t window = 0;        // L': distances 1 … window are computed
  int32_t cache_rows = 0;    // C: layer inputs kept for the next block
  int32_t average_span = 0;  // of the heads, ramp included
};

// `spans` are the heads' learned fractions of S, as float32.
LayerWindow WindowOfLayer(absl::Span<const float> spans,
                          const SpanGeometry& geometry);

// The template for S distances, exact: entry c is c + 1 − S. [S]
at::Tensor ExactMaskTemplate(int32_t attn_span, at::ScalarType dtype);

// m = clamp((template + z S) / R + 1, 0, 1), not differentiable here.
// `spans` [heads], `mask_template` [window]: the last columns. [heads, window]
at::Tensor SoftMask(const at::Tensor& spans, const at::Tensor& mask_template,
                    const SpanGeometry& geometry);

}  // namespace spanlm
