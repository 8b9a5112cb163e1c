// SPDX-License-Identifier: Apache-2.0
// Attention of a whole block of queries, with autograd: what training runs and
// what the step form is tested against.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "engine/attention/span_mask.h"

namespace spanlm {

// One Adaptive-Span layer's attention. q, k and v are of one type (float,
// double or bfloat16); the rest is float (double where q is). Differentiable
// in q, k, v, position_keys and spans.
struct SpanAttentionInputs {
  at::Tensor q;              // [batch, block, heads * head_dim]
  at::Tensor k;              // [batch, window + block, heads * head_dim]
  at::Tensor v;              // as k
  at::Tensor position_keys;  // [head_dim, window]; last column: distance 1
  at::Tensor spans;          // [heads], fractions of S
  at::Tensor mask_template;  // [window]
  // Dropout's factors on the weights, [batch * heads, block, window + block];
  // undefined: none.
  at::Tensor dropout;
  SpanGeometry geometry;
  bool renormalize = true;  // false: fairseq's unrenormalised mask
};

// [batch, block, heads * head_dim] in q's type. Query i sees rows i … i +
// window − 1 of k and v: strictly the past.
at::Tensor SpanAttention(const SpanAttentionInputs& inputs);
// The same by LibTorch's operators, on any device: what the former does on a
// GPU, where its row loops cannot go.
at::Tensor SpanAttentionOfOperators(const SpanAttentionInputs& inputs);

// One Transformer-XL layer's attention; all tensors of one type.
struct RelativeAttentionInputs {
  at::Tensor q;              // [batch, block, heads, head_dim]
  at::Tensor k;              // [batch, keys, heads, head_dim], memory first
  at::Tensor v;              // as k
  at::Tensor relative_keys;  // [keys, heads, head_dim], distances keys − 1 … 0
  at::Tensor content_bias;   // [heads, head_dim], u
  at::Tensor position_bias;  // [heads, head_dim], v
  at::Tensor hidden;         // bool [block, keys]: what a query does not see
  at::Tensor dropout;        // [batch, heads, block, keys]; undefined: none
};

// [batch, block, heads * head_dim].
at::Tensor RelativeAttention(const RelativeAttentionInputs& inputs);

}  // namespace spanlm
