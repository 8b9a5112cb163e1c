// SPDX-License-Identifier: Apache-2.0
#include "engine/model/transformer_xl.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

// Rows of '.' for a visible key and 'x' for a hidden one.
std::vector<std::string> Picture(const at::Tensor& hidden) {
  std::vector<std::string> rows(hidden.size(0));
  const bool* h = hidden.const_data_ptr<bool>();
  for (std::string& row : rows) {
    for (int64_t j = 0; j < hidden.size(1); ++j) row += *h++ ? 'x' : '.';
  }
  return rows;
}

using Rows = std::vector<std::string>;

TEST(HiddenKeysTest, HideTheFutureOnlyInTheDefaultMask) {
  EXPECT_EQ(Picture(HiddenKeys(3, 2, 2, false)),
            (Rows{"...xx", "....x", "....."}));
}

TEST(HiddenKeysTest, ShowEveryQueryMemLenKeysInTheSameLengthMask) {
  EXPECT_EQ(Picture(HiddenKeys(3, 2, 2, true)),
            (Rows{"x..xx", "xx..x", "xxx.."}));
}

TEST(HiddenKeysTest, ShowWhatThereIsOfAGrowingMemory) {
  EXPECT_EQ(Picture(HiddenKeys(3, 1, 3, true)), (Rows{"..xx", "...x", "x..."}));
}

TEST(TransformerXlTest, SeesMoreTheLaterInABlockWithTheDefaultMask) {
  ModelFields fields = SmallTransformerXl();
  fields.mem_len = 8;
  fields.same_length = false;
  const MemoryModel memory = RandomModel(fields, {}, 3);
  ASSERT_OK_AND_ASSIGN(const auto model,
                       LoadByteModel(memory.config, memory.tensors));
  const std::vector<uint16_t> text = RandomSymbols(32, 40, 1);
  at::Tensor tokens = at::empty({1, 32}, at::TensorOptions().dtype(at::kLong));
  std::copy(text.begin(), text.end(), tokens.data_ptr<int64_t>());
  const auto last = [&](int64_t block) {
    ModelMemory state = model->NewMemory(1, {});
    at::Tensor logits;
    for (int64_t done = 0; done < 32; done += block) {
      logits = model->Forward(tokens.narrow(1, done, block), {}, &state);
    }
    EXPECT_EQ(state.layers[0].size(1), 8);
    return logits.select(1, block - 1);
  };
  EXPECT_GT(at::max(at::abs(at::sub(last(16), last(4)))).item<double>(), 0.01);
}

const char kOutput[] = "crit.out_layers.0.weight";

// What is not among the parameters is neither trained nor saved.
TEST(TransformerXlTest, AnOutputWeightOfItsOwnIsAParameter) {
  MemoryModel memory = RandomModel(SmallTransformerXl(), {}, 3);
  const auto names = [&] {
    const auto model = LoadByteModel(memory.config, memory.tensors);
    EXPECT_OK(model);
    std::vector<std::string> found;
    for (const NamedTensor& parameter : (*model)->parameters()) {
      found.push_back(parameter.name);
    }
    return found;
  };
  EXPECT_THAT(names(), testing::Not(testing::Contains(kOutput)));

  UntieOutput(4, &memory);

  EXPECT_THAT(names(), testing::Contains(kOutput));
}

TEST(TransformerXlTest, AModelThatSharesItsEmbeddingRefusesAnotherOutput) {
  MemoryModel memory = RandomModel(SmallTransformerXl(), {}, 3);
  const auto model = NewByteModel(memory.config);
  ASSERT_OK(model->Load(memory.tensors));

  UntieOutput(4, &memory);

  EXPECT_THAT(model->Load(memory.tensors),
              StatusIs(absl::StatusCode::kFailedPrecondition, kOutput));
}

TEST(TransformerXlGoldenTest, SinusoidsAreThePublishedOnes) {
  if (!IsThere("txl_sinusoid.json")) {
    GTEST_SKIP() << GoldenPath("txl_sinusoid.json") << " is not here";
  }
  const nlohmann::json golden = GoldenJson("txl_sinusoid.json");
  ASSERT_FALSE(golden["cases"].empty());
  for (const nlohmann::json& entry : golden["cases"]) {
    ModelFields fields = SmallTransformerXl();
    fields.n_layer = fields.n_head = 1;
    fields.d_model = fields.d_head = entry["d_model"];
    const auto model = NewByteModel(*ModelConfig::Create(fields));
    const std::vector<double> distances = entry["distances"];
    int64_t count = 1;
    for (const double each : distances) {
      count = std::max(count, static_cast<int64_t>(each) + 1);
    }
    const at::Tensor table = DistanceTable(
        count, entry["clamp_len"].get<int64_t>(), model->buffers()[0].tensor);
    for (size_t row = 0; row < distances.size(); ++row) {
      const auto distance = static_cast<int64_t>(distances[row]);
      const float* found = table.const_data_ptr<float>() +
                           (count - 1 - distance) * fields.d_model;
      for (int i = 0; i < fields.d_model; ++i) {
        ASSERT_NEAR(found[i], entry["table"][row][i].get<float>(),
                    distance <= 20 ? 1.5e-6 : 5e-5)
            << "distance " << distance << " feature " << i;
      }
    }
  }
}

TEST(DistanceTableTest, CapsDistancesAtTheClamp) {
  const at::Tensor frequencies = at::ones({1});
  const at::Tensor table = DistanceTable(5, 2, frequencies);
  const at::Tensor free = DistanceTable(5, -1, frequencies);
  for (const int64_t row : {0, 1, 2}) {
    EXPECT_TRUE(at::equal(table.select(0, row), free.select(0, 2)));
  }
  EXPECT_TRUE(at::equal(table.select(0, 3), free.select(0, 3)));
  EXPECT_FALSE(at::equal(free.select(0, 0), free.select(0, 2)));
}

}  // namespace
}  // namespace spanlm
