// SPDX-License-Identifier: Apache-2.0
#include "engine/step/packed_model.h"

#include <cmath>
#include <limits>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

TEST(PackedModelTest, StacksQueriesKeysAndValuesInThatOrder) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.1F}, 1);
  ASSERT_OK_AND_ASSIGN(const PackedModel packed,
                       PackedModel::Create(model.config, model.tensors));

  const PackedMap& map = packed.layers()[1].query_key_value;

  EXPECT_EQ(map.outputs, 96);
  EXPECT_EQ(map.inputs, 32);
  // With 32 outputs each the panels are the three weights.
  const char* names[3] = {"query", "key", "val"};
  for (int panel = 0; panel < 3; ++panel) {
    const std::vector<float> weight = model.tensors.Get(
        std::string("layers.1.attn.proj_") + names[panel] + ".weight");
    EXPECT_EQ(map.weights.data()[panel * 1024 + 5 * 32 + 7],
              weight[7 * 32 + 5]);
  }
}

TEST(PackedModelTest, ScalesTheEmbeddingOfTransformerXlAndTiesItsOutput) {
  const MemoryModel model = RandomModel(SmallTransformerXl(), {}, 1);
  const std::vector<float> embedding =
      model.tensors.Get("word_emb.emb_layers.0.weight");

  ASSERT_OK_AND_ASSIGN(const PackedModel packed,
                       PackedModel::Create(model.config, model.tensors));

  EXPECT_EQ(packed.embedding(3)[4], embedding[3 * 32 + 4] * std::sqrt(32.0F));
  EXPECT_EQ(packed.logits().weights.data()[4 * 32 + 3], embedding[3 * 32 + 4]);
}

TEST(PackedModelTest, AnOutputWeightInTheFileIsUsed) {
  MemoryModel model = RandomModel(SmallTransformerXl(), {}, 1);
  model.tensors.Set("crit.out_layers.0.weight", {40, 32},
                    std::vector<float>(40 * 32, 0.5F));

  ASSERT_OK_AND_ASSIGN(const PackedModel packed,
                       PackedModel::Create(model.config, model.tensors));

  EXPECT_EQ(packed.logits().weights.data()[0], 0.5F);
}

TEST(PackedModelTest, NamesATensorThatIsMissingOrMisshapen) {
  for (const ModelFields& fields :
       {SmallAdaptiveSpan(), SmallTransformerXl()}) {
    const MemoryModel whole = RandomModel(fields, {0.1F}, 1);
    for (const std::string& name : whole.tensors.names()) {
      MemoryModel missing = whole;
      missing.tensors.Remove(name);
      EXPECT_THAT(PackedModel::Create(missing.config, missing.tensors),
                  StatusIs(absl::StatusCode::kNotFound, name.c_str()));
      MemoryModel misshapen = whole;
      misshapen.tensors.Set(name, {3}, {1, 2, 3});
      EXPECT_THAT(PackedModel::Create(misshapen.config, misshapen.tensors),
                  StatusIs(absl::StatusCode::kDataLoss, name.c_str()));
    }
  }
}

TEST(PackedModelTest, NamesATensorThatHoldsWhatIsNoNumber) {
  for (const ModelFields& fields :
       {SmallAdaptiveSpan(), SmallTransformerXl()}) {
    const MemoryModel whole = RandomModel(fields, {0.1F}, 1);
    for (const std::string& name : whole.tensors.names()) {
      MemoryModel bad = whole;
      std::vector<float> values = whole.tensors.Get(name);
      values.back() = std::numeric_limits<float>::quiet_NaN();
      ASSERT_OK_AND_ASSIGN(const TensorView view, whole.tensors.Find(name));
      bad.tensors.Set(name, view.shape, values);

      EXPECT_THAT(PackedModel::Create(bad.config, bad.tensors),
                  StatusIs(absl::StatusCode::kDataLoss, name.c_str()));
    }
  }
}

}  // namespace
}  // namespace spanlm
