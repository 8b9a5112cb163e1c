// SPDX-License-Identifier: Apache-2.0
#include "engine/attention/dense_attention.h"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/attention/span_rows.h"

namespace spanlm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

#define SPANLM_DISPATCH_ROWS(type, name, ...)                       \
  AT_DISPATCH_SWITCH(type, name,                                    \
                     AT_DISPATCH_CASE(at::kFloat, __VA_ARGS__)      \
                         AT_DISPATCH_CASE(at::kDouble, __VA_ARGS__) \
                             AT_DISPATCH_CASE(at::kBFloat16, __VA_ARGS__))

at::ScalarType AccumulatorType(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// [batch, rows, heads * dim] to [batch * heads, rows, dim], dense.
at::Tensor SplitHeads(const at::Tensor& x, int64_t heads) {
  const int64_t batch = x.size(0), rows = x.size(1);
  return x.view({batch, rows, heads, x.size(2) / heads})
      .transpose(1, 2)
      .reshape({batch * heads, rows, x.size(2) / heads})
      .contiguous();  // of a batch of one, reshape gives a view
}

// The inverse of SplitHeads.
at::Tensor JoinHeads(const at::Tensor& x, int64_t heads) {
  const int64_t batch = x.size(0) / heads, rows = x.size(1);
  return x.view({batch, heads, rows, x.size(2)})
      .transpose(1, 2)
      .reshape({batch, rows, heads * x.size(2)});
}

// The columns where the mask's clamp passes a gradient: both ends inclusive.
std::vector<RampColumns> FindRamps(const at::Tensor& spans,
                                   const at::Tensor& mask_template,
                                   const SpanGeometry& geometry) {
  const at::Tensor raw =
      (mask_template.unsqueeze(0) + spans.unsqueeze(1) * geometry.attn_span) /
          geometry.ramp +
      1;
  // The template rises, so the columns below 0 come first, those above 1 last.
  const at::Tensor begins = raw.lt(0).sum(1).cpu();
  const at::Tensor ends = raw.le(1).sum(1).cpu();
  std::vector<RampColumns> ramps(spans.size(0));
  for (size_t head = 0; head < ramps.size(); ++head) {
    ramps[head].begin = begins[head].item<int64_t>();
    ramps[head].end = ends[head].item<int64_t>();
  }
  return ramps;
}

SpanRowsShape ShapeOf(const at::Tensor& q, const at::Tensor& position_keys,
                      int64_t heads, bool renormalize) {
  SpanRowsShape shape;
  shape.groups = q.size(0);
  shape.heads = heads;
  shape.block = q.size(1);
  shape.window = position_keys.size(1);
  shape.scale = 1 / std::sqrt(static_cast<double>(q.size(2)));
  shape.renormalize = renormalize;
  return shape;
}

struct Weights {
  at::Tensor weights, relative, row_scale;
};

Weights FormWeights(const SpanRowsShape& shape, const at::Tensor& content,
                    const at::Tensor& position, const at::Tensor& mask) {
  Weights out;
  out.weights = at::empty_like(content);
  out.relative = at::empty_like(position);
  out.row_scale = at::empty({shape.groups, shape.block}, mask.options());
  SPANLM_DISPATCH_ROWS(content.scalar_type(), "SpanAttention", [&] {
    at::parallel_for(0, shape.groups, 1, [&](int64_t begin, int64_t end) {
      ForwardSpanRows<scalar_t>(
          shape, content.const_data_ptr<scalar_t>(),
          position.const_data_ptr<scalar_t>(),
          mask.const_data_ptr<RowAccumulatorT<scalar_t>>(),
          out.relative.data_ptr<scalar_t>(), out.weights.data_ptr<scalar_t>(),
          out.row_scale.data_ptr<RowAccumulatorT<scalar_t>>(), begin, end);
    });
  });
  return out;
}

struct ScoreGradients {
  at::Tensor content, position, ramp;
};

ScoreGradients FormGradients(const SpanRowsShape& shape,
                             const at::Tensor& d_weights,
                             const at::Tensor& relative, const at::Tensor& mask,
                             const at::Tensor& row_scale,
                             const std::vector<RampColumns>& ramps) {
  ScoreGradients out;
  out.content = at::empty_like(d_weights);
  out.position = at::empty_like(relative);
  out.ramp = at::empty({shape.groups}, mask.options());
  SPANLM_DISPATCH_ROWS(relative.scalar_type(), "SpanAttention", [&] {
    at::parallel_for(0, shape.groups, 1, [&](int64_t begin, int64_t end) {
      BackwardSpanRows<scalar_t>(
          shape, d_weights.const_data_ptr<scalar_t>(),
          relative.const_data_ptr<scalar_t>(),
          mask.const_data_ptr<RowAccumulatorT<scalar_t>>(),
          row_scale.const_data_ptr<RowAccumulatorT<scalar_t>>(), ramps.data(),
          out.content.data_ptr<scalar_t>(), out.position.data_ptr<scalar_t>(),
          out.ramp.data_ptr<RowAccumulatorT<scalar_t>>(), begin, end);
    });
  });
  return out;
}

// The products around the row loops, with their gradients written out: autograd
// would keep five tensors of the scores' size and copy each to skew it.
class SpanAttentionFunction
    : public torch::autograd::Function<SpanAttentionFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_rows,
                            const at::Tensor& k_rows, const at::Tensor& v_rows,
                            const at::Tensor& position_keys,
                            const at::Tensor& spans,
                            const SpanAttentionInputs* inputs) {
    const int64_t heads = spans.size(0);
    const at::Tensor q = SplitHeads(q_rows, heads);
    const at::Tensor k = SplitHeads(k_rows, heads);
    const at::Tensor v = SplitHeads(v_rows, heads);
    const at::Tensor keys = position_keys.to(q.scalar_type());
    const SpanRowsShape shape = ShapeOf(q, keys, heads, inputs->renormalize);
    const at::Tensor mask =
        SoftMask(spans, inputs->mask_template, inputs->geometry)
            .to(AccumulatorType(q))
            .contiguous();
    const at::Tensor content = at::bmm(q, k.transpose(1, 2));
    const at::Tensor position =
        at::mm(q.view({-1, q.size(2)}), keys)
            .view({shape.groups, shape.block, shape.window});
    Weights formed = FormWeights(shape, content, position, mask);
    if (inputs->dropout.defined()) formed.weights.mul_(inputs->dropout);
    ctx->save_for_backward({q, k, v, keys, mask, formed.weights,
                            formed.relative, formed.row_scale, spans,
                            inputs->mask_template, inputs->dropout});
    ctx->saved_data["renormalize"] = inputs->renormalize;
    ctx->saved_data["attn_span"] = int64_t{inputs->geometry.attn_span};
    ctx->saved_data["ramp"] = int64_t{inputs->geometry.ramp};
    return JoinHeads(at::bmm(formed.weights, v), heads);
  }

  static variable_list backward(AutogradContext* ctx,
                                const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    const at::Tensor &keys = saved[3], &mask = saved[4], &weights = saved[5];
    const at::Tensor &spans = saved[8], &dropout = saved[10];
    SpanGeometry geometry;
    geometry.attn_span = ctx->saved_data["attn_span"].toInt();
    geometry.ramp = ctx->saved_data["ramp"].toInt();
    const int64_t heads = spans.size(0);
    const SpanRowsShape shape =
        ShapeOf(q, keys, heads, ctx->saved_data["renormalize"].toBool());

    const at::Tensor d_out =
        SplitHeads(gradients[0].to(q.scalar_type()).contiguous(), heads);
    const at::Tensor d_v = at::bmm(weights.transpose(1, 2), d_out);
    at::Tensor d_weights = at::bmm(d_out, v.transpose(1, 2));
    if (dropout.defined()) d_weights.mul_(dropout);
    const ScoreGradients d_scores =
        FormGradients(shape, d_weights, saved[6], mask, saved[7],
                      FindRamps(spans, saved[9], geometry));
    const at::Tensor flat_position = d_scores.position.view({-1, shape.window});
    const at::Tensor flat_q = q.view({-1, q.size(2)});
    at::Tensor d_q = at::bmm(d_scores.content, k);
    d_q.view({-1, q.size(2)}).addmm_(flat_position, keys.t());
    const at::Tensor d_k = at::bmm(d_scores.content.transpose(1, 2), q);
    const at::Tensor d_keys =
        at::mm(flat_q.t(), flat_position).to(spans.scalar_type());
    const at::Tensor d_spans =
        d_scores.ramp.view({-1, heads}).sum(0).to(spans.scalar_type()) *
        (static_cast<double>(geometry.attn_span) / geometry.ramp);
    return {JoinHeads(d_q, heads),
            JoinHeads(d_k, heads),
            JoinHeads(d_v, heads),
            d_keys,
            d_spans,
            at::Tensor()};
  }
};

// Row i of `x` [batch, heads, rows, keys] moved left by rows − 1 − i, so that
// column j of row i is distance i + (keys − rows) − j. What is shifted in from
// the next row lies beyond the diagonal and is always hidden.
at::Tensor ShiftToDistances(const at::Tensor& x) {
  const int64_t batch = x.size(0), heads = x.size(1);
  const int64_t rows = x.size(2), keys = x.size(3);
  const at::Tensor padded =
      at::cat({at::zeros({batch, heads, rows, 1}, x.options()), x}, 3);
  return padded.reshape({batch, heads, keys + 1, rows})
      .narrow(2, 1, keys)
      .reshape({batch, heads, rows, keys});
}

}  // namespace

at::Tensor SpanAttentionOfOperators(const SpanAttentionInputs& inputs) {
  const int64_t heads = inputs.spans.size(0);
  const at::Tensor q = SplitHeads(inputs.q, heads);
  const at::Tensor k = SplitHeads(inputs.k, heads);
  const int64_t groups = q.size(0), block = q.size(1), keys = k.size(1);
  const int64_t window = keys - block;
  const at::ScalarType type = AccumulatorType(q);
  const at::Tensor position =
      at::matmul(q, inputs.position_keys.to(q.scalar_type()));
  // Row i from its column i on.
  const at::Tensor content =
      at::bmm(q, k.transpose(1, 2))
          .as_strided({groups, block, window}, {block * keys, keys + 1, 1});
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(2)));
  const at::Tensor mask =
      SoftMask(inputs.spans, inputs.mask_template, inputs.geometry).to(type);
  at::Tensor weights = at::softmax((content + position).to(type) * scale, -1)
                           .view({groups / heads, heads, block, window}) *
                       mask.unsqueeze(1);
  if (inputs.renormalize) weights = weights / (weights.sum(-1, true) + 1e-8);
  // A row longer by one moves each row a column to the right of the last.
  weights = at::constant_pad_nd(weights.to(q.scalar_type()), {0, block + 1})
                .view({groups, -1})
                .narrow(1, 0, block * keys)
                .reshape({groups, block, keys});
  if (inputs.dropout.defined()) weights = weights * inputs.dropout;
  return JoinHeads(at::bmm(weights, SplitHeads(inputs.v, heads)), heads);
}

at::Tensor SpanAttention(const SpanAttentionInputs& inputs) {
  if (!inputs.q.is_cpu()) return SpanAttentionOfOperators(inputs);
  return SpanAttentionFunction::apply(inputs.q, inputs.k, inputs.v,
                                      inputs.position_keys, inputs.spans,
                                      &inputs);
}

at::Tensor RelativeAttention(const RelativeAttentionInputs& inputs) {
  const at::Tensor k = inputs.k.permute({0, 2, 3, 1});  // [B, H, dim, keys]
  const at::Tensor content =
      at::matmul((inputs.q + inputs.content_bias).transpose(1, 2), k);
  const at::Tensor position =
      at::matmul((inputs.q + inputs.position_bias).transpose(1, 2),
                 inputs.relative_keys.permute({1, 2, 0}).unsqueeze(0));
  const double scale = 1 / std::sqrt(static_cast<double>(inputs.q.size(3)));
  at::Tensor scores = content + ShiftToDistances(position);
  if (scores.scalar_type() == at::kBFloat16) scores = scores.to(at::kFloat);
  scores =
      (scores * scale)
          .masked_fill(inputs.hidden, -std::numeric_limits<float>::infinity());
  at::Tensor weights = at::softmax(scores, -1).to(inputs.v.scalar_type());
  if (inputs.dropout.defined()) weights = weights * inputs.dropout;
  return at::matmul(weights, inputs.v.transpose(1, 2))
      .transpose(1, 2)
      .reshape({inputs.q.size(0), inputs.q.size(1), -1});
}

}  // namespace spanlm
