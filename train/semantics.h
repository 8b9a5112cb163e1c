// SPDX-License-Identifier: Apache-2.0
// The points in which the published codes differ in what they compute
// (docs/model.md, "Semantics"). What differs in the model itself is in its
// config: renormalize, tie_biases, memory_start.
#pragma once

#include "engine/model/byte_model.h"
#include "train/optimizer.h"
#include "train/stream_batcher.h"

namespace spanlm {

// kOriginal: the codes published with the papers. kFairseq: fairseq's
// adaptive_span and transformer_xl under truncated_bptt_lm.
enum class SemanticsKind { kOriginal, kFairseq };

// When spans are put back into [0, 1].
enum class SpanClamp {
  kAfterStep,      // the parameter, so that a span at a border can come back
  kBeforeForward,  // what the pass uses: in half precision not the master,
                   // whose span drifts on below 0 (fairseq)
};

// Each set by a flag of its own; --semantics sets the defaults.
struct Semantics {
  RowLayout layout = RowLayout::kSlices;
  // Whether validation goes on from training's memory and training from
  // validation's; else validation starts from an empty one.
  bool shares_memory = false;
  SpanClamp span_clamp = SpanClamp::kAfterStep;
  // Half precision: the mask's template rounded as the parameters are.
  bool rounds_mask_template = false;
  Initialization initialization = Initialization::kOriginal;
  AdamEps adam_eps = AdamEps::kAfterCorrection;
  // Log lines as fairseq's: losses divided by all positions, scored or not, and
  // for Adaptive Span its nll_loss and ppl, which mean nothing.
  bool fairseq_losses = false;
};

// kFairseq still clamps the parameter after each step: only --span-clamp
// forward gives fairseq's own drift.
inline Semantics SemanticsOf(SemanticsKind kind) {
  Semantics semantics;
  if (kind == SemanticsKind::kOriginal) return semantics;
  semantics.layout = RowLayout::kBlocks;
  semantics.shares_memory = true;
  semantics.rounds_mask_template = true;
  semantics.initialization = Initialization::kFairseq;
  semantics.adam_eps = AdamEps::kBeforeCorrection;
  semantics.fairseq_losses = true;
  return semantics;
}

}  // namespace spanlm
