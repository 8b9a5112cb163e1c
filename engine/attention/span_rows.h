// SPDX-License-Identifier: Apache-2.0
// The row loops of the block form's attention: between the two score products
// and the weights, forward and backward, in one pass over memory each.
#pragma once

#include <cstdint>

namespace spanlm {

// What a row is computed in: double stays double, all else is float.
template <typename T>
struct RowAccumulator {
  using type = float;
};
template <>
struct RowAccumulator<double> {
  using type = double;
};
template <typename T>
using RowAccumulatorT = typename RowAccumulator<T>::type;

// `groups` = batch rows times heads, head innermost. Query i of a group sees
// the keys i … i + window − 1 of `block + window`; column c of its window is
// distance window − c (docs/model.md, "banded layout").
struct SpanRowsShape {
  int64_t groups = 0;
  int64_t heads = 0;
  int64_t block = 0;   // queries
  int64_t window = 0;  // distances, the layer's L'
  double scale = 1;    // of both score products
  bool renormalize = true;
};

// From content [groups, block, block + window] and position [groups, block,
// window] scores and `mask` [heads, window]: the masked weights, skewed back
// onto the keys, `weights` [groups, block, block + window] (zero outside the
// band), the weights before the mask `relative` [groups, block, window] and
// the rows' renormaliser `row_scale` [groups, block] (1 where there is none).
// Does groups [begin, end).
template <typename T>
void ForwardSpanRows(const SpanRowsShape& shape, const T* content,
                     const T* position, const RowAccumulatorT<T>* mask,
                     T* relative, T* weights, RowAccumulatorT<T>* row_scale,
                     int64_t begin, int64_t end);

// The columns of each head where the mask's slope is not zero.
struct RampColumns {
  int64_t begin = 0;
  int64_t end = 0;
};

// From the gradient of `weights` (`d_weights`, same shape): those of the two
// score products, `d_content` (zero outside the band) and `d_position`, and
// of the mask summed over the columns ramp[head]: d_ramp [groups].
template <typename T>
void BackwardSpanRows(const SpanRowsShape& shape, const T* d_weights,
                      const T* relative, const RowAccumulatorT<T>* mask,
                      const RowAccumulatorT<T>* row_scale,
                      const RampColumns* ramp, T* d_content, T* d_position,
                      RowAccumulatorT<T>* d_ramp, int64_t begin, int64_t end);

}  // namespace spanlm
