// SPDX-License-Identifier: Apache-2.0
// The engine over LibTorch, on a CUDA device and, so that it is tested where
// there is none, over the CPU's kernels.
#include "engine/runtime/torch_engine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/runtime/cpu_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/cuda/need_device.h"
#include "tests/support/dense_model.h"
#include "tests/support/engine_reader.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::MatchesRegex;

// Float against double through two layers; ln P of about −4.
constexpr double kTolerance = 1e-4;

const std::vector<float> kSpans = {0.02F, 0.7F, 0, 0.31F};

MemoryModel AdaptiveSpan() {
  return RandomModel(SmallAdaptiveSpan(), kSpans, /*seed=*/1);
}

// Models that differ in what their steps do.
std::vector<std::pair<std::string, MemoryModel>> Models() {
  std::vector<std::pair<std::string, MemoryModel>> models;
  models.emplace_back("renormalised", AdaptiveSpan());
  ModelFields fields = SmallAdaptiveSpan();
  fields.renormalize = false;
  models.emplace_back("unrenormalised", RandomModel(fields, kSpans, 2));
  fields = SmallTransformerXl();
  models.emplace_back("transformer_xl", RandomModel(fields, {}, 3));
  fields.clamp_len = 13;
  fields.tie_biases = true;
  fields.memory_start = MemoryStart::kEmpty;
  models.emplace_back("clamped, empty start", RandomModel(fields, {}, 4));
  models.emplace_back("untied output",
                      RandomModel(SmallTransformerXl(), {}, 5));
  UntieOutput(6, &models.back().second);
  return models;
}

class TorchEngineTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() != "cpu") SPANLM_NEED_CUDA_DEVICE();
    options_.device = GetParam();
    options_.state_budget_bytes = 1 << 20;
  }

  absl::StatusOr<std::unique_ptr<Engine>> Create(const MemoryModel& model) {
    return CreateTorchEngine(model.config, model.tensors, {"digest", 7},
                             options_);
  }
  std::unique_ptr<Engine> Open(const MemoryModel& model) {
    absl::StatusOr<std::unique_ptr<Engine>> engine = Create(model);
    EXPECT_TRUE(engine.ok()) << engine.status();
    return engine.ok() ? *std::move(engine) : nullptr;
  }

  EngineOptions options_;
};

void ExpectNear(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], kTolerance) << "element " << i;
  }
}

TEST_P(TorchEngineTest, EqualsTheModelsFormulas) {
  for (const auto& [name, model] : Models()) {
    SCOPED_TRACE(name);
    const std::vector<uint16_t> text =
        RandomSymbols(150, model.config->vocab_size, 5);
    const std::unique_ptr<Engine> engine = Open(model);
    ASSERT_NE(engine, nullptr);

    const std::vector<float> got = ReadText(engine.get(), text, {150});

    const std::vector<std::vector<double>> want =
        DenseLogProbs(model.config, model.tensors, text);
    ASSERT_EQ(got.size(), want.size() * model.config->vocab_size);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(
          got[i],
          want[i / model.config->vocab_size][i % model.config->vocab_size],
          kTolerance)
          << "element " << i;
    }
  }
}

TEST_P(TorchEngineTest, EqualsTheCpuEngineHoweverATextIsCut) {
  for (const auto& [name, model] : Models()) {
    SCOPED_TRACE(name);
    const std::vector<uint16_t> text =
        RandomSymbols(300, model.config->vocab_size, 6);
    EngineOptions options;
    options.threads = 1;
    options.state_budget_bytes = 1 << 20;
    absl::StatusOr<std::unique_ptr<CpuEngine>> cpu =
        CpuEngine::Create(model.config, model.tensors, {}, options);
    ASSERT_TRUE(cpu.ok()) << cpu.status();
    const std::vector<float> want = ReadText(cpu->get(), text, {300});
    const std::unique_ptr<Engine> engine = Open(model);
    ASSERT_NE(engine, nullptr);

    ExpectNear(ReadText(engine.get(), text, {1}), want);
    ExpectNear(ReadText(engine.get(), text, {7, 1, 33, 64}), want);
    ExpectNear(ReadText(engine.get(), text, {300}), want);
  }
}

TEST_P(TorchEngineTest, StrangersOfAStepDoNotMix) {
  const MemoryModel model = AdaptiveSpan();
  const std::unique_ptr<Engine> engine = Open(model);
  ASSERT_NE(engine, nullptr);
  const std::vector<uint16_t> a = RandomSymbols(90, 40, 7);
  const std::vector<uint16_t> b = RandomSymbols(50, 40, 8);
  const std::vector<float> alone = ReadText(engine.get(), a, {90});
  ASSERT_OK_AND_ASSIGN(SpanCache first, engine->NewCache());
  ASSERT_OK_AND_ASSIGN(SpanCache second, engine->NewCache());

  ASSERT_OK_AND_ASSIGN(
      const StepResult result,
      engine->Step({{&second, b, Want::kNothing}, {&first, a, Want::kAll}}));

  EXPECT_TRUE(result[0].log_probs.empty());
  ExpectNear(result[1].log_probs, alone);
  EXPECT_EQ(second.position(), 50);
}

TEST_P(TorchEngineTest, EqualStepsGiveEqualBits) {
  const std::unique_ptr<Engine> engine = Open(AdaptiveSpan());
  ASSERT_NE(engine, nullptr);
  const std::vector<uint16_t> text = RandomSymbols(120, 40, 9);

  EXPECT_EQ(ReadText(engine.get(), text, {50}),
            ReadText(engine.get(), text, {50}));
}

TEST_P(TorchEngineTest, TargetsAreTheFloatsOfTheDistributions) {
  const std::unique_ptr<Engine> engine = Open(AdaptiveSpan());
  ASSERT_NE(engine, nullptr);
  const std::vector<uint16_t> text = RandomSymbols(60, 40, 10);
  const std::vector<float> all = ReadText(engine.get(), text, {25});

  const std::vector<float> targets =
      ReadText(engine.get(), text, {25}, Want::kTargets);

  ASSERT_EQ(targets.size(), text.size());
  EXPECT_EQ(targets[0], -std::log(256.0F));
  for (size_t i = 1; i < text.size(); ++i) {
    EXPECT_EQ(targets[i], all[(i - 1) * 40 + text[i]]) << "symbol " << i;
  }
}

TEST_P(TorchEngineTest, AUsedSlotIsClearedForTheNextText) {
  options_.state_budget_bytes = 1;
  const MemoryModel model = AdaptiveSpan();
  EXPECT_THAT(Create(model), StatusIs(absl::StatusCode::kResourceExhausted,
                                      "state_budget_bytes: 1"));
  options_.state_budget_bytes = 1 << 20;
  options_.state_budget_bytes = Open(model)->info().state_bytes;
  const std::unique_ptr<Engine> engine = Open(model);
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->info().slot_count, 1);
  const std::vector<uint16_t> text = RandomSymbols(40, 40, 11);

  const std::vector<float> first = ReadText(engine.get(), text, {40});
  const std::vector<float> second = ReadText(engine.get(), text, {40});

  EXPECT_EQ(first, second);
}

TEST_P(TorchEngineTest, HandsOutAsManyCachesAsThereAreSlots) {
  options_.state_budget_bytes = 2 * Open(AdaptiveSpan())->info().state_bytes;
  const std::unique_ptr<Engine> engine = Open(AdaptiveSpan());
  ASSERT_OK_AND_ASSIGN(const SpanCache first, engine->NewCache());
  ASSERT_OK_AND_ASSIGN(const SpanCache second, engine->NewCache(64));

  EXPECT_EQ(second.position(), 64);
  EXPECT_EQ(engine->free_slot_count(), 0);
  EXPECT_THAT(engine->NewCache(),
              StatusIs(absl::StatusCode::kResourceExhausted, "2 slots"));
}

TEST_P(TorchEngineTest, RefusesABadStartAndABadBatch) {
  const std::unique_ptr<Engine> engine = Open(AdaptiveSpan());
  ASSERT_NE(engine, nullptr);
  EXPECT_THAT(engine->NewCache(33),
              StatusIs(absl::StatusCode::kInvalidArgument, "start: 33"));
  ASSERT_OK_AND_ASSIGN(SpanCache cache, engine->NewCache());
  const std::vector<uint16_t> beyond = {40};

  EXPECT_THAT(engine->Step({{&cache, beyond, Want::kNothing}}),
              StatusIs(absl::StatusCode::kInvalidArgument, "symbol 40"));
  EXPECT_THAT(engine->Step({}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(TorchEngineTest, SaysWhatItIs) {
  const std::unique_ptr<Engine> engine = Open(AdaptiveSpan());
  ASSERT_NE(engine, nullptr);
  const EngineInfo& info = engine->info();

  EXPECT_EQ(info.digest, "digest");
  EXPECT_EQ(info.parameter_count, 7);
  EXPECT_THAT(info.numerics,
              MatchesRegex(GetParam() == "cpu" ? "fp32/fp32/torch/[0-9]+"
                                               : "fp32/fp32/sm_[0-9]+/[0-9]+"));
  EXPECT_EQ(info.reaches.size(), 2U);
  EXPECT_EQ(engine->options().device, GetParam());
}

TEST_P(TorchEngineTest, ANotANumberIsAnError) {
  MemoryModel model = AdaptiveSpan();
  std::vector<float> weight = model.tensors.Get("out_emb.weight");
  std::fill_n(weight.begin() + 3 * 32, 32, std::numeric_limits<float>::max());
  model.tensors.Set("out_emb.weight", {40, 32}, weight);
  const std::unique_ptr<Engine> engine = Open(model);
  ASSERT_NE(engine, nullptr);
  ASSERT_OK_AND_ASSIGN(SpanCache cache, engine->NewCache());
  const std::vector<uint16_t> text = {1, 2};

  EXPECT_THAT(engine->Step({{&cache, text, Want::kNothing}}),
              StatusIs(absl::StatusCode::kDataLoss, "not a finite number"));
}

TEST_P(TorchEngineTest, NamesATensorThatHoldsWhatIsNoNumber) {
  const MemoryModel whole = AdaptiveSpan();
  for (const char* name : {"in_emb.weight", "layers.1.norm2.bias",
                           "layers.0.attn.proj_val.weight", "key_pe"}) {
    MemoryModel model = whole;
    std::vector<float> values = whole.tensors.Get(name);
    values[1] = std::numeric_limits<float>::quiet_NaN();
    ASSERT_OK_AND_ASSIGN(const TensorView view, whole.tensors.Find(name));
    model.tensors.Set(name, view.shape, values);

    EXPECT_THAT(Create(model), StatusIs(absl::StatusCode::kDataLoss, name));
  }
}

TEST_P(TorchEngineTest, NamesAMissingTensor) {
  for (const char* name : {"in_emb.weight", "layers.1.norm2.bias",
                           "layers.0.attn.proj_val.weight", "key_pe"}) {
    MemoryModel model = AdaptiveSpan();
    model.tensors.Remove(name);

    EXPECT_FALSE(Create(model).ok());
    EXPECT_THAT(std::string(Create(model).status().message()),
                testing::HasSubstr(name));
  }
}

TEST_P(TorchEngineTest, RefusesAFormatItDoesNotHold) {
  options_.weights = "int8";

  EXPECT_THAT(Create(AdaptiveSpan()),
              StatusIs(absl::StatusCode::kUnimplemented, "weights: \"int8\""));
}

TEST(TorchEngineDeviceTest, SaysThatTheDeviceIsNotThere) {
  const MemoryModel model = AdaptiveSpan();
  EngineOptions options;
  options.device = "cuda:127";

  EXPECT_THAT(
      CreateTorchEngine(model.config, model.tensors, {}, options),
      StatusIs(absl::StatusCode::kFailedPrecondition, "device cuda:127"));
}

INSTANTIATE_TEST_SUITE_P(Devices, TorchEngineTest,
                         testing::Values("cuda", "cpu"),
                         [](const testing::TestParamInfo<std::string>& info) {
                           return info.param;
                         });

}  // namespace
}  // namespace spanlm
