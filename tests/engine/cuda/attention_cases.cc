// SPDX-License-Identifier: Apache-2.0
#include "tests/engine/cuda/attention_cases.h"

#include <utility>

namespace spanlm {
namespace {

// Same-length Transformer-XL: sees itself, biases, a table for each head.
AttentionSetup TransformerXlSetup() {
  AttentionSetup setup;
  setup.head_dim = 24;
  setup.heads = {{49, 49}, {49, 49}};
  setup.chunks = {{0, 5}, {61, 40}};
  setup.min_distance = 0;
  setup.has_mask = false;
  setup.has_biases = true;
  setup.shares_position_keys = false;
  return setup;
}

}  // namespace

std::vector<AttentionCase> AttentionCases() {
  std::vector<AttentionCase> cases;
  const auto add = [&cases](const char* name, AttentionSetup setup) {
    cases.push_back({name, std::move(setup)});
  };

  AttentionSetup smallest;
  smallest.head_dim = 1;
  smallest.heads = {{1, 1}};
  add("OneRowOfReachOneAndHeadDimOne", smallest);

  AttentionSetup widest;
  widest.head_dim = kernels::kMaxHeadDim;
  widest.heads = {{33, 33}, {64, 64}, {7, 7}};
  widest.chunks = {{100, 3}};
  add("HeadDim128", widest);

  AttentionSetup unstaged;
  unstaged.head_dim = 40;
  unstaged.heads = {{32, 32}, {70, 70}};
  unstaged.chunks = {{0, 1}, {31, 1}, {32, 1}, {1000003, 1}};
  unstaged.has_staging = false;
  add("SingleRowsWithoutStagedKeys", unstaged);

  AttentionSetup wrapped;
  wrapped.heads = {{64, 64}};
  wrapped.head_dim = 33;
  wrapped.chunks = {{63, 1}, {64, 1}, {65, 1}, {128, 2}};
  add("RingThatHasJustWrapped", wrapped);

  AttentionSetup longer;
  longer.heads = {{5, 5}, {96, 96}};
  longer.head_dim = 16;
  longer.chunks = {{17, 103}, {200, 1}, {31, 33}};
  add("ChunkLongerThanItsRings", longer);

  AttentionSetup windowed;
  windowed.heads = {{3, 128}, {100, 128}, {128, 128}};
  windowed.head_dim = 20;
  windowed.chunks = {{0, 2}, {300, 34}};
  windowed.renormalize = false;
  add("DenominatorOverTheLayersWindow", windowed);

  add("TransformerXl", TransformerXlSetup());

  AttentionSetup clamped = TransformerXlSetup();
  clamped.position_reach = 11;
  add("DistancesPastTheClampShareAKey", clamped);

  AttentionSetup empty = TransformerXlSetup();
  empty.empty_start = true;
  empty.chunks = {{0, 3}, {64, 2, 64}, {70, 1, 64}, {200, 4, 32}};
  add("NothingBeforeTheStart", empty);
  return cases;
}

}  // namespace spanlm
