// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/cpu_engine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "engine/checkpoint/model_dir.h"
#include "engine/checkpoint/model_tensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/dense_model.h"
#include "tests/support/engine_reader.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::ElementsAre;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

EngineOptions SmallOptions() {
  EngineOptions options;
  options.threads = 2;
  options.state_budget_bytes = 4 << 20;
  return options;
}

std::unique_ptr<CpuEngine> MakeEngine(const MemoryModel& model,
                                      const EngineOptions& options) {
  absl::StatusOr<std::unique_ptr<CpuEngine>> engine =
      CpuEngine::Create(model.config, model.tensors, {"digest", 7}, options);
  EXPECT_TRUE(engine.ok()) << engine.status();
  return engine.ok() ? *std::move(engine) : nullptr;
}

// float32 against double, over logits of a few units.
constexpr double kTolerance = 3e-5;

void ExpectMatchesDenseModel(const MemoryModel& model) {
  const ModelFields& fields = model.config.fields();
  const std::vector<uint16_t> symbols =
      RandomSymbols(180, fields.vocab_size, 9);
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, SmallOptions());
  ASSERT_NE(engine, nullptr);

  const std::vector<float> log_probs =
      ReadText(engine.get(), symbols, {7, 1, 40});

  const std::vector<std::vector<double>> expected =
      DenseLogProbs(model.config, model.tensors, symbols);
  ASSERT_EQ(log_probs.size(), symbols.size() * fields.vocab_size);
  double largest = 0;
  for (size_t t = 0; t < symbols.size(); ++t) {
    for (int32_t i = 0; i < fields.vocab_size; ++i) {
      largest = std::max(
          largest,
          std::abs(log_probs[t * fields.vocab_size + i] - expected[t][i]));
    }
  }
  EXPECT_LT(largest, kTolerance);
  EXPECT_GT(largest, 0);  // or the two are one and the same
}

void ExpectMatchesDenseModel(const ModelFields& fields,
                             const std::vector<float>& spans) {
  ExpectMatchesDenseModel(RandomModel(fields, spans, 3));
}

TEST(CpuEngineTest, AdaptiveSpanEqualsItsRecursion) {
  ExpectMatchesDenseModel(SmallAdaptiveSpan(), {0.0F, 0.1F, 0.35F, 1.0F});
}

TEST(CpuEngineTest, FairseqsAdaptiveSpanEqualsItsRecursion) {
  ModelFields fields = SmallAdaptiveSpan();
  fields.renormalize = false;
  ExpectMatchesDenseModel(fields, {0.0F, 0.1F, 0.35F, 0.2F});
}

TEST(CpuEngineTest, OneSpanALayerEqualsItsRecursion) {
  ModelFields fields = SmallAdaptiveSpan();
  fields.adapt_span_layer = true;
  fields.n_head = 4;
  fields.d_head = 8;
  ExpectMatchesDenseModel(fields, {0.3F, 0.0F});
}

TEST(CpuEngineTest, TransformerXlEqualsItsRecursion) {
  for (const MemoryStart start : {MemoryStart::kZero, MemoryStart::kEmpty}) {
    for (const int32_t clamp : {-1, 13}) {
      ModelFields fields = SmallTransformerXl();
      fields.memory_start = start;
      fields.clamp_len = clamp;
      fields.tie_biases = clamp > 0;
      ExpectMatchesDenseModel(fields, {});
    }
  }
}

TEST(CpuEngineTest, AnOutputOfItsOwnEqualsItsRecursion) {
  MemoryModel model = RandomModel(SmallTransformerXl(), {}, 3);
  UntieOutput(4, &model);
  ExpectMatchesDenseModel(model);
}

TEST(CpuEngineTest, AMemoryOfOnePositionEqualsItsRecursion) {
  ModelFields fields = SmallTransformerXl();
  fields.mem_len = 1;
  ExpectMatchesDenseModel(fields, {});
}

TEST(CpuEngineTest, OddWidthsEqualTheirRecursion) {
  ModelFields fields = SmallAdaptiveSpan();
  fields.n_head = 3;
  fields.d_head = 5;
  fields.d_model = 15;
  fields.d_inner = 33;
  fields.vocab_size = 7;
  ExpectMatchesDenseModel(fields, {0.2F, 0.0F, 0.05F});
}

TEST(CpuEngineTest, SaysWhatItsModelIs) {
  const MemoryModel model =
      RandomModel(SmallAdaptiveSpan(), {0.0F, 0.25F, 0.5F, 1.0F}, 1);
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, SmallOptions());
  const EngineInfo& info = engine->info();

  EXPECT_EQ(info.digest, "digest");
  EXPECT_EQ(info.parameter_count, 7);
  EXPECT_THAT(info.numerics, testing::StartsWith("fp32/fp32/"));
  EXPECT_THAT(info.layer_windows, ElementsAre(64, 128));
  EXPECT_EQ(info.receptive_field_bytes, 1 + 64 + 128);
  EXPECT_THAT(info.reaches,
              ElementsAre(ElementsAre(32, 64), ElementsAre(96, 128)));
  EXPECT_THAT(info.spans,
              ElementsAre(ElementsAre(0, 32), ElementsAre(64, 128)));
  EXPECT_EQ(info.state_bytes, 2 * 16 * 4 * (32 + 64 + 96 + 128));
  EXPECT_EQ(info.slot_count, (4 << 20) / info.state_bytes);
}

TEST(CpuEngineTest, TransformerXlHasNoSpansAndReachesBackOneLessThanItsMemory) {
  const MemoryModel model = RandomModel(SmallTransformerXl(), {}, 1);
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, SmallOptions());

  EXPECT_TRUE(engine->info().spans.empty());
  EXPECT_THAT(engine->info().reaches[1], ElementsAre(49, 49));
  EXPECT_EQ(engine->info().receptive_field_bytes, 1 + 2 * 49);
}

TEST(CpuEngineTest, AdmitsAsManyCachesAsFitTheBudget) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.0F}, 1);
  EngineOptions options = SmallOptions();
  options.state_budget_bytes = 3 * 16384 - 1;  // a cache takes 16 KiB
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, options);
  ASSERT_EQ(engine->info().slot_count, 2);

  {
    ASSERT_OK_AND_ASSIGN(const SpanCache first, engine->NewCache());
    ASSERT_OK_AND_ASSIGN(const SpanCache second, engine->NewCache());
    EXPECT_EQ(engine->free_slot_count(), 0);
    EXPECT_THAT(engine->NewCache(),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }

  EXPECT_EQ(engine->free_slot_count(), 2);
}

TEST(CpuEngineTest, ABudgetBelowOneCacheIsRefusedWithBothSizes) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.0F}, 1);
  EngineOptions options = SmallOptions();
  options.state_budget_bytes = 16383;

  EXPECT_THAT(CpuEngine::Create(model.config, model.tensors, {}, options),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       "16383, one cache of this model takes 16384"));
}

TEST(CpuEngineTest, RefusesOptionsOutOfBoundsAndFormatsItDoesNotHold) {
  const auto check = [](auto change) {
    EngineOptions options = SmallOptions();
    change(&options);
    return CheckEngineOptions(options);
  };
  EXPECT_THAT(check([](EngineOptions* o) { o->weights = "int8"; }),
              StatusIs(absl::StatusCode::kUnimplemented, "weights: \"int8\""));
  EXPECT_THAT(check([](EngineOptions* o) { o->kv = "bf16"; }),
              StatusIs(absl::StatusCode::kUnimplemented, "kv: \"bf16\""));
  EXPECT_THAT(check([](EngineOptions* o) { o->threads = -1; }),
              StatusIs(kInvalid, "threads (0: all): -1"));
  EXPECT_THAT(check([](EngineOptions* o) { o->max_step_symbols = 0; }),
              StatusIs(kInvalid, "max_step_symbols: 0"));
  EXPECT_THAT(check([](EngineOptions* o) { o->state_budget_bytes = 0; }),
              StatusIs(kInvalid, "state_budget_bytes: 0"));
  EXPECT_OK(check([](EngineOptions*) {}));
}

TEST(CpuEngineTest, RefusesAStartThatIsNoBlocksBeginning) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.0F}, 1);
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, SmallOptions());

  EXPECT_THAT(engine->NewCache(33), StatusIs(kInvalid, "start: 33"));
  EXPECT_THAT(engine->NewCache(-32), StatusIs(kInvalid, "start: -32"));
  EXPECT_THAT(engine->NewCache(std::numeric_limits<int64_t>::max() / 32 * 32),
              StatusIs(kInvalid, "start: "));
  EXPECT_EQ(engine->free_slot_count(), engine->info().slot_count);
  ASSERT_OK_AND_ASSIGN(const SpanCache cache, engine->NewCache(96));
  EXPECT_EQ(cache.position(), 96);
  EXPECT_TRUE(cache.last_log_probs().empty());
}

TEST(CpuEngineTest, ARefusedBatchReadsNothing) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.0F}, 1);
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, SmallOptions());
  ASSERT_OK_AND_ASSIGN(SpanCache cache, engine->NewCache());
  ASSERT_OK_AND_ASSIGN(SpanCache other, engine->NewCache());

  EXPECT_THAT(engine->Step({{&cache, {1, 2}}, {&other, {40}}}),
              StatusIs(kInvalid, "symbol 40"));

  EXPECT_EQ(cache.position(), 0);
}

TEST(CpuEngineTest, ASlotUsedBeforeIsAsGoodAsNew) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.3F}, 1);
  EngineOptions options = SmallOptions();
  options.state_budget_bytes =
      MakeEngine(model, options)->info().state_bytes;  // one slot
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, options);
  const std::vector<uint16_t> symbols = RandomSymbols(100, 40, 1);

  const std::vector<float> first = ReadText(engine.get(), symbols, {30});
  ReadText(engine.get(), RandomSymbols(300, 40, 2), {64});
  const std::vector<float> again = ReadText(engine.get(), symbols, {30});

  EXPECT_EQ(first, again);
}

TEST(CpuEngineTest, TargetsAreTheSameFloatsAsTheWholeDistributionsHold) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.3F}, 1);
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, SmallOptions());
  const std::vector<uint16_t> symbols = RandomSymbols(90, 40, 1);

  const std::vector<float> all = ReadText(engine.get(), symbols, {11, 1});
  const std::vector<float> targets =
      ReadText(engine.get(), symbols, {17, 2}, Want::kTargets);

  ASSERT_EQ(targets.size(), symbols.size());
  EXPECT_EQ(targets[0], -std::log(256.0F));
  for (size_t t = 1; t < symbols.size(); ++t) {
    EXPECT_EQ(targets[t], all[(t - 1) * 40 + symbols[t]]) << t;
  }
}

TEST(CpuEngineTest, EveryStepLeavesTheLastDistributionInTheCache) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.3F}, 1);
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, SmallOptions());
  const std::vector<uint16_t> symbols = RandomSymbols(20, 40, 1);
  const std::vector<float> all = ReadText(engine.get(), symbols, {20});

  for (const Want want : {Want::kNothing, Want::kTargets, Want::kAll}) {
    ASSERT_OK_AND_ASSIGN(SpanCache cache, engine->NewCache());
    ReadAll(engine.get(), &cache, symbols, {20}, want);

    EXPECT_TRUE(std::equal(cache.last_log_probs().begin(),
                           cache.last_log_probs().end(), all.end() - 40));
    EXPECT_EQ(cache.position(), 20);
  }
}

// Numbers so large that sums of them overflow.
TEST(CpuEngineTest, ANumberThatIsNoneIsAnError) {
  MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.3F}, 1);
  std::vector<float> embedding = model.tensors.Get("in_emb.weight");
  std::fill_n(embedding.begin() + 5 * 32, 32,
              std::numeric_limits<float>::max());
  model.tensors.Set("in_emb.weight", {40, 32}, embedding);
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, SmallOptions());
  ASSERT_OK_AND_ASSIGN(SpanCache cache, engine->NewCache());

  EXPECT_OK(engine->Step({{&cache, {1, 2, 3}}}));
  EXPECT_THAT(engine->Step({{&cache, {5}}}),
              StatusIs(absl::StatusCode::kDataLoss, "not a finite number"));
}

// Each of a feed-forward's sums is ∞ − ∞: its ReLU must not make zeros of them.
TEST(CpuEngineTest, ANumberThatIsNoneIsAnErrorBehindTheRelu) {
  MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.3F}, 1);
  model.tensors.Set("layers.1.norm1.weight", {32}, std::vector<float>(32, 0));
  model.tensors.Set("layers.1.norm1.bias", {32}, std::vector<float>(32, 2));
  std::vector<float> weights(48 * 32, 0.0F);
  for (size_t unit = 0; unit < 48; ++unit) {
    weights[unit * 32] = std::numeric_limits<float>::max();
    weights[unit * 32 + 1] = -std::numeric_limits<float>::max();
  }
  model.tensors.Set("layers.1.ff.fc1.weight", {48, 32}, weights);
  const std::unique_ptr<CpuEngine> engine = MakeEngine(model, SmallOptions());
  ASSERT_NE(engine, nullptr);
  ASSERT_OK_AND_ASSIGN(SpanCache cache, engine->NewCache());

  EXPECT_THAT(engine->Step({{&cache, {1, 2, 3}}}),
              StatusIs(absl::StatusCode::kDataLoss, "not a finite number"));
}

TEST(CreateEngineTest, RefusesDevicesAndOptionsBeforeLookingAtTheModel) {
  EngineOptions options;
  options.device = "tpu";
  EXPECT_THAT(CreateEngine("nowhere", options), StatusIs(kInvalid, "\"tpu\""));
  options.device = "cpu";
  options.kv = "int8";
  EXPECT_THAT(CreateEngine("nowhere", options),
              StatusIs(absl::StatusCode::kUnimplemented, "int8"));
  options.kv = "fp32";
  EXPECT_THAT(CreateEngine("/nowhere/at/all", options),
              StatusIs(absl::StatusCode::kNotFound, "/nowhere/at/all"));
}

TEST(CreateEngineTest, OpensAModelDirectory) {
  const MemoryModel model = RandomModel(SmallAdaptiveSpan(), {0.3F}, 1);
  ModelContents contents;
  contents.fields = model.config.fields();
  for (const TensorSpec& spec : TensorsOf(model.config)) {
    if (spec.is_optional) continue;
    ASSERT_OK_AND_ASSIGN(const TensorView view, model.tensors.Find(spec.name));
    contents.tensors.push_back(
        {spec.name, view.dtype, view.shape,
         std::string(reinterpret_cast<const char*>(view.bytes.data()),
                     view.bytes.size())});
  }
  const TempDir dir;
  ASSERT_OK(WriteModelDir(dir.File("model"), contents));

  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Engine> engine,
                       CreateEngine(dir.File("model"), SmallOptions()));

  EXPECT_EQ(engine->info().digest.size(), 64U);
  EXPECT_GT(engine->info().parameter_count, 10000);
  const std::vector<uint16_t> symbols = RandomSymbols(50, 40, 1);
  EXPECT_EQ(ReadText(engine.get(), symbols, {50}),
            ReadText(MakeEngine(model, SmallOptions()).get(), symbols, {50}));
}

}  // namespace
}  // namespace spanlm
