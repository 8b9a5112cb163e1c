// SPDX-License-Identifier: Apache-2.0
// Masks and windows against the published code's tables. Tolerances are the
// set's README's.
#include "engine/attention/span_mask.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/attention/dense_attention.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"

namespace spanlm {
namespace {

LayerWindow Window(const std::vector<float>& spans, int32_t attn_span) {
  SpanGeometry geometry;
  geometry.attn_span = attn_span;
  return WindowOfLayer(spans, geometry);
}

TEST(SpanMaskTest, WindowsAreRoundedUpAndTheCacheHoldsSomeMore) {
  const struct {
    int32_t max_size, window, cache_rows;
  } cases[] = {{32, 64, 128},   {65, 128, 192},     {109, 128, 192},
               {500, 512, 576}, {8191, 8192, 8192}, {8192, 8192, 8192}};
  for (const auto& c : cases) {
    const float longest = static_cast<float>(c.max_size - 32) / 8192;
    const LayerWindow found = Window({0, longest}, 8192);
    EXPECT_EQ(found.max_size, c.max_size);
    EXPECT_EQ(found.window, c.window);
    EXPECT_EQ(found.cache_rows, c.cache_rows);
  }
}

TEST(SpanMaskTest, SpansBelowZeroStillReachAWindow) {
  const LayerWindow found = Window({-1, -0.5F}, 256);
  EXPECT_EQ(found.max_size, 0);
  EXPECT_EQ(found.window, 64);
}

TEST(SpanMaskTest, TheTemplateEndsAtZero) {
  const at::Tensor exact = ExactMaskTemplate(8192, at::kFloat);
  ASSERT_EQ(exact.numel(), 8192);
  EXPECT_EQ(exact.const_data_ptr<float>()[0], -8191);
  EXPECT_EQ(exact.const_data_ptr<float>()[8191], 0);
}

// One layer of one head for a golden table's entry.
SpanAttentionInputs OneHead(const nlohmann::json& entry) {
  SpanAttentionInputs inputs;
  inputs.geometry.attn_span = entry["S"];
  inputs.geometry.ramp = entry["R"];
  const int64_t size = inputs.geometry.attn_span;
  inputs.mask_template = ExactMaskTemplate(size, at::kDouble);
  inputs.q = at::zeros({1, 1, 1}, inputs.mask_template.options());
  inputs.k = at::zeros({1, size + 1, 1}, inputs.q.options());
  inputs.v = at::zeros({1, size + 1, 1}, inputs.q.options());
  inputs.position_keys = at::zeros({1, size}, inputs.q.options());
  inputs.spans =
      at::full({1}, entry["z_float32"].get<double>(), inputs.q.options());
  inputs.renormalize = false;
  return inputs;
}

class SpanMaskGoldenTest : public testing::Test {
 protected:
  static bool Find(const std::string& name, nlohmann::json* cases) {
    if (!IsThere(name)) return false;
    *cases = GoldenJson(name)["cases"];
    return true;
  }
};

TEST_F(SpanMaskGoldenTest, WindowsAreThePublishedOnes) {
  nlohmann::json cases;
  if (!Find("trim_table.json", &cases)) {
    GTEST_SKIP() << GoldenPath("trim_table.json") << " is not here";
  }
  ASSERT_FALSE(cases.empty());
  for (const nlohmann::json& entry : cases) {
    SpanGeometry geometry;
    geometry.attn_span = entry["S"];
    geometry.ramp = entry["R"];
    const LayerWindow found =
        WindowOfLayer(entry["z"].get<std::vector<float>>(), geometry);
    EXPECT_EQ(found.max_size, entry["maxsize"].get<int>()) << entry;
    EXPECT_EQ(found.window, entry["window_L"].get<int>()) << entry;
    EXPECT_EQ(found.cache_rows, entry["cache_rows"].get<int>()) << entry;
    EXPECT_EQ(found.average_span, entry["average_span"].get<int>()) << entry;
  }
}

TEST_F(SpanMaskGoldenTest, MasksAreThePublishedOnes) {
  nlohmann::json cases;
  if (!Find("mask_table.json", &cases)) {
    GTEST_SKIP() << GoldenPath("mask_table.json") << " is not here";
  }
  ASSERT_FALSE(cases.empty());
  for (const nlohmann::json& entry : cases) {
    const SpanAttentionInputs head = OneHead(entry);
    const int64_t size = head.geometry.attn_span;
    const at::Tensor mask =
        SoftMask(head.spans.to(at::kFloat), head.mask_template.to(at::kFloat),
                 head.geometry);
    const float* m = mask.const_data_ptr<float>();
    const int64_t first = entry["first_distance"];
    const auto& expected = entry["mask"];
    for (int64_t distance = 1; distance <= size; ++distance) {
      const int64_t i = distance - first;
      const float want = i < 0 ? 1
                         : i < static_cast<int64_t>(expected.size())
                             ? expected[i].get<float>()
                             : 0;
      ASSERT_NEAR(m[size - distance], want, 1e-6)
          << entry["z"] << " at " << distance;
    }
    EXPECT_NEAR(mask.sum().item<double>(), entry["sum_of_mask"].get<double>(),
                2e-3);
  }
}

// With equal scores the output is Σ m(δ) v / S, so that a value at one distance
// alone leaves that distance's slope in the span's gradient.
TEST_F(SpanMaskGoldenTest, SlopesAreThePublishedOnesAtBothEndsOfTheClamp) {
  nlohmann::json cases;
  if (!Find("mask_table.json", &cases)) {
    GTEST_SKIP() << GoldenPath("mask_table.json") << " is not here";
  }
  for (const nlohmann::json& entry : cases) {
    SpanAttentionInputs head = OneHead(entry);
    head.spans.set_requires_grad(true);
    const int64_t size = head.geometry.attn_span;
    for (size_t i = 0; i < entry["dmask_dz"].size(); ++i) {
      const int64_t distance = entry["first_distance"].get<int64_t>() + i;
      if (distance < 1 || distance > size) continue;
      double* value = head.v.data_ptr<double>() + size - distance;
      *value = static_cast<double>(size);
      const at::Tensor out = SpanAttention(head);
      const auto slope = torch::autograd::grad({out}, {head.spans});
      *value = 0;
      EXPECT_NEAR(slope[0].item<double>(), entry["dmask_dz"][i].get<double>(),
                  1e-9)
          << entry["z"] << " at " << distance;
    }
  }
}

}  // namespace
}  // namespace spanlm
