// SPDX-License-Identifier: Apache-2.0
#include "engine/step/model_tables.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <string>

#include "engine/engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/golden_path.h"
#include "tests/support/memory_model.h"
#include "tests/support/peak_memory.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::ElementsAre;

constexpr char kMask[] = "layers.0.attn.attn.adaptive_span._mask.";

MemoryModel OneLayer(int32_t attn_span, const std::vector<float>& spans,
                     int32_t ramp = 32) {
  ModelFields fields = SmallAdaptiveSpan();
  fields.n_layer = 1;
  fields.attn_span = attn_span;
  fields.ramp = ramp;
  fields.n_head = static_cast<int32_t>(spans.size());
  fields.d_head = 1;
  fields.d_model = fields.n_head;
  return RandomModel(fields, spans, 1);
}

// mask(d) of the one layer's head.
float MaskAt(const LayerTables& layer, int head, int32_t distance) {
  return layer.mask[kBlock + head * (layer.mask_columns + kBlock) +
                    layer.mask_columns - 1 - distance];
}

std::vector<int32_t> Reaches(const LayerTables& layer) {
  std::vector<int32_t> reaches;
  for (const kernels::HeadSpan& head : layer.heads) {
    reaches.push_back(head.reach);
  }
  return reaches;
}

TEST(ModelTablesTest, MaskIsOneUpToTheSpanAndFallsOverTheRamp) {
  const MemoryModel model = OneLayer(8192, {0.01F, 0.0F});
  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));
  const LayerTables& layer = tables.layers[0];

  EXPECT_THAT(Reaches(layer), ElementsAre(114, 32));
  EXPECT_EQ(layer.window, 128);
  EXPECT_EQ(MaskAt(layer, 0, 82), 1);
  EXPECT_NEAR(MaskAt(layer, 0, 83), 0.9975, 1e-5);
  EXPECT_NEAR(MaskAt(layer, 0, 114), 0.02875, 1e-5);
  EXPECT_EQ(MaskAt(layer, 1, 1), 1);
  EXPECT_EQ(MaskAt(layer, 1, 32), 1.0F / 32);
  EXPECT_EQ(MaskAt(layer, 1, 33), 0);
}

TEST(ModelTablesTest, NothingIsWithinReachThatHasNoWeight) {
  const MemoryModel model = OneLayer(256, {0.0F, 0.3F, 1.0F});
  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));
  const LayerTables& layer = tables.layers[0];

  for (int h = 0; h < 3; ++h) {
    EXPECT_EQ(MaskAt(layer, h, 0), 0);
    EXPECT_GT(MaskAt(layer, h, layer.heads[h].reach), 0);
    for (int d = layer.heads[h].reach + 1; d < layer.mask_columns; ++d) {
      EXPECT_EQ(MaskAt(layer, h, d), 0);
    }
  }
  EXPECT_THAT(Reaches(layer), ElementsAre(32, 109, 256));
  EXPECT_THAT(layer.head_order, ElementsAre(2, 1, 0));
  EXPECT_THAT(layer.spans, ElementsAre(0, 0.3F * 256, 256));
}

TEST(ModelTablesTest, SpansOutsideTheirRangeAreClamped) {
  const MemoryModel model = OneLayer(256, {-3.0F, 2.0F});
  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));

  EXPECT_THAT(Reaches(tables.layers[0]), ElementsAre(32, 256));
}

TEST(ModelTablesTest, OneSpanALayerServesAllItsHeads) {
  ModelFields fields = SmallAdaptiveSpan();
  fields.adapt_span_layer = true;
  const MemoryModel model = RandomModel(fields, {0.25F, 0.0F}, 1);
  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));

  EXPECT_THAT(Reaches(tables.layers[0]), ElementsAre(64, 64));
  EXPECT_THAT(Reaches(tables.layers[1]), ElementsAre(32, 32));
}

TEST(ModelTablesTest, TheStoredTemplateDecides) {
  MemoryModel model = OneLayer(128, {0.0F});
  std::vector<float> rounded;
  for (int c = 0; c < 128; ++c) {
    rounded.push_back(static_cast<float>(c + 1 - 128) + (c < 96 ? 2 : 0));
  }
  model.tensors.Set(std::string(kMask) + "mask_template", {128}, rounded);

  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));

  EXPECT_EQ(tables.layers[0].heads[0].reach, 34);
  EXPECT_EQ(MaskAt(tables.layers[0], 0, 34), 1.0F / 32);
}

TEST(ModelTablesTest, WithoutRenormalisingKeysAreKeptForTheLayersWindow) {
  ModelFields fields = SmallAdaptiveSpan();
  fields.renormalize = false;
  const MemoryModel model = RandomModel(fields, {0.0F, 0.4F}, 1);
  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));

  const kernels::HeadSpan& head = tables.layers[0].heads[0];
  EXPECT_EQ(head.reach, 32);
  EXPECT_EQ(head.window, 128);
  EXPECT_EQ(head.key_capacity, 128);
  EXPECT_EQ(head.value_capacity, 32);
  EXPECT_EQ(tables.slot_floats, 2 * 16 * (128 + 32 + 128 + 96));
}

TEST(ModelTablesTest, RingsOfAllLayersAreDisjointAndFillTheSlot) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0, 0.3F, 1}, 1);
  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));

  int64_t end = 0;
  for (const LayerTables& layer : tables.layers) {
    for (const kernels::HeadSpan& head : layer.heads) {
      EXPECT_EQ(head.key_offset, end);
      end += int64_t{head.key_capacity} * 16;
      EXPECT_EQ(head.value_offset, end);
      end += int64_t{head.value_capacity} * 16;
    }
  }
  EXPECT_EQ(tables.slot_floats, end);
}

TEST(ModelTablesTest, ColumnsOfKeyPeBecomeKeysOfDistances) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.3F}, 1);
  const std::vector<float> key_pe = model.tensors.Get("key_pe");
  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));
  const PositionTable& table = tables.positions_of(1);

  EXPECT_EQ(table.head_stride, 0);
  for (const int32_t d : {1, 32, 33, table.reach}) {
    EXPECT_EQ(
        table.keys.data()[kernels::KeyIndex(table.columns - 1 - d, 5, 16)],
        key_pe[5 * 128 + 128 - d])
        << d;
  }
}

TEST(ModelTablesTest, RefusesASpanThatIsNoNumber) {
  MemoryModel model = OneLayer(128, {0.1F});
  model.tensors.Set(std::string(kMask) + "current_val", {1, 1, 1},
                    {std::numeric_limits<float>::quiet_NaN()});

  EXPECT_THAT(MakeModelTables(model.config, model.tensors),
              StatusIs(absl::StatusCode::kDataLoss, "current_val"));
}

TEST(ModelTablesTest, RefusesATensorThatHoldsWhatIsNoNumber) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    MemoryModel model = OneLayer(128, {0.1F});
    std::vector<float> keys = model.tensors.Get("key_pe");
    keys[100] = bad;
    model.tensors.Set("key_pe", {1, 1, 128}, keys);

    EXPECT_THAT(MakeModelTables(model.config, model.tensors),
                StatusIs(absl::StatusCode::kDataLoss,
                         "tensor key_pe: element 100 is "));
  }
}

// A config.json of a few bytes may ask for any memory length.
TEST(ModelTablesTest, RefusesACachePastTheBudgetBeforeItMakesTables) {
  ModelFields fields = SmallTransformerXl();
  fields.mem_len = 1 << 20;  // a table of 128 MiB
  const MemoryModel model = RandomModel(fields, {}, 1);
  TableLimits limits;
  limits.state_budget_bytes = 1 << 20;
  const int64_t before = PeakBytes();

  EXPECT_THAT(MakeModelTables(model.config, model.tensors, limits),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       "state_budget_bytes: 1048576, one cache of this model "
                       "takes 536870912"));

  EXPECT_LT(PeakBytes() - before, 32 << 20);
}

TEST(ModelTablesTest, RefusesTablesPastTheirBoundBeforeItMakesThem) {
  TableLimits limits;
  limits.table_bytes = 1 << 20;
  ModelFields fields = SmallTransformerXl();
  fields.mem_len = 1 << 20;
  const MemoryModel memory = RandomModel(fields, {}, 1);
  // A row of masks for each of 200 heads, for the sake of one that reaches far.
  std::vector<float> spans(200, 0.0F);
  spans[0] = 1;
  const MemoryModel masks = OneLayer(1 << 18, spans);
  const int64_t before = PeakBytes();

  for (const MemoryModel* model : {&memory, &masks}) {
    EXPECT_THAT(MakeModelTables(model->config, model->tensors, limits),
                StatusIs(absl::StatusCode::kResourceExhausted,
                         "bytes of tables, want at most 1048576"));
  }

  EXPECT_LT(PeakBytes() - before, 32 << 20);
}

TEST(ModelTablesTest, RefusesAWindowThatDependsOnTheBlockAndSaysWhatToDo) {
  ModelFields fields = SmallTransformerXl();
  fields.same_length = false;
  const MemoryModel model = RandomModel(fields, {}, 1);

  EXPECT_THAT(MakeModelTables(model.config, model.tensors),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "import --set same_length=true --set mem_len="));
}

TEST(ModelTablesTest, AClampBoundsTheTableAndNotTheWindow) {
  ModelFields fields = SmallTransformerXl();
  fields.clamp_len = 20;
  const MemoryModel model = RandomModel(fields, {}, 1);
  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));

  EXPECT_EQ(tables.positions_of(1).reach, 20);
  EXPECT_EQ(tables.positions_of(1).columns, 32);
  EXPECT_EQ(tables.layers[1].heads[0].reach, 49);
  EXPECT_TRUE(tables.layers[1].mask.empty());
}

TEST(ModelTablesTest, AMemoryOfOnePositionStillHasARing) {
  ModelFields fields = SmallTransformerXl();
  fields.mem_len = 1;
  const MemoryModel model = RandomModel(fields, {}, 1);
  ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                       MakeModelTables(model.config, model.tensors));

  EXPECT_EQ(tables.layers[0].heads[0].reach, 0);
  EXPECT_EQ(tables.layers[0].heads[0].key_capacity, 32);
}

nlohmann::json ReadGolden(const std::string& name) {
  std::ifstream file(GoldenPath(name));
  return nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
}

TEST(ModelTablesGoldenTest, WindowsAreThoseOfThePublishedCode) {
  const nlohmann::json golden = ReadGolden("trim_table.json");
  ASSERT_TRUE(golden.contains("cases")) << GoldenPath("");
  for (const nlohmann::json& entry : golden["cases"]) {
    const MemoryModel model =
        OneLayer(entry["S"], entry["z"].get<std::vector<float>>(), entry["R"]);

    ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                         MakeModelTables(model.config, model.tensors));

    EXPECT_EQ(tables.layers[0].window, entry["window_L"].get<int>()) << entry;
  }
}

TEST(ModelTablesGoldenTest, MasksAreThoseOfThePublishedCode) {
  const nlohmann::json golden = ReadGolden("mask_table.json");
  ASSERT_TRUE(golden.contains("cases")) << GoldenPath("");
  for (const nlohmann::json& entry : golden["cases"]) {
    const MemoryModel model =
        OneLayer(entry["S"], {entry["z_float32"].get<float>()}, entry["R"]);
    ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                         MakeModelTables(model.config, model.tensors));
    const LayerTables& layer = tables.layers[0];
    // Where the slope ends on an integer, rounding may leave it a last crumb.
    const int support = entry["support"];
    EXPECT_NEAR(layer.heads[0].reach, support, 1) << entry["z"];
    int distance = entry["first_distance"];
    for (const float expected : entry["mask"]) {
      const float held =
          distance < layer.mask_columns ? MaskAt(layer, 0, distance) : 0;
      EXPECT_NEAR(held, expected, 1e-6) << entry["z"] << " at " << distance;
      ++distance;
    }
  }
}

TEST(ModelTablesGoldenTest, SinusoidsAreThoseOfThePublishedCode) {
  const nlohmann::json golden = ReadGolden("txl_sinusoid.json");
  ASSERT_TRUE(golden.contains("cases")) << GoldenPath("");
  for (const nlohmann::json& entry : golden["cases"]) {
    ModelFields fields = SmallTransformerXl();
    fields.n_layer = fields.n_head = 1;
    fields.d_model = fields.d_head = entry["d_model"];
    const std::vector<float> distances = entry["distances"];
    fields.mem_len = entry["key_length"].is_null()
                         ? static_cast<int32_t>(distances.back()) + 1
                         : entry["key_length"].get<int32_t>();
    fields.clamp_len = entry["clamp_len"];
    MemoryModel model = RandomModel(fields, {}, 1);
    std::vector<float> identity(fields.d_model * fields.d_model, 0);
    for (int i = 0; i < fields.d_model; ++i)
      identity[i * (fields.d_model + 1)] = 1;
    model.tensors.Set("layers.0.dec_attn.r_net.weight",
                      {fields.d_model, fields.d_model}, identity);
    ASSERT_OK_AND_ASSIGN(const ModelTables tables,
                         MakeModelTables(model.config, model.tensors));
    const PositionTable& table = tables.positions_of(0);
    for (size_t row = 0; row < distances.size(); ++row) {
      const auto distance = static_cast<int32_t>(distances[row]);
      for (int i = 0; i < fields.d_model; ++i) {
        const float held =
            table.keys
                .data()[i / fields.d_head * table.head_stride +
                        kernels::KeyIndex(table.columns - 1 - distance,
                                          i % fields.d_head, fields.d_head)];
        ASSERT_NEAR(held, entry["table"][row][i].get<float>(),
                    distance <= 20 ? 1.5e-6 : 5e-5)
            << "distance " << distance << " feature " << i;
      }
    }
  }
}

}  // namespace
}  // namespace spanlm
