// SPDX-License-Identifier: Apache-2.0
// A score never depends on company: no bit of it changes with the chunks a text
// is cut into, the strangers in a step, the threads or the interleaving.
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "engine/runtime/cpu_engine.h"
#include "gtest/gtest.h"
#include "tests/support/engine_reader.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

struct ModelCase {
  const char* name;
  ModelFields fields;
};

void PrintTo(const ModelCase& model, std::ostream* os) { *os << model.name; }

std::vector<ModelCase> Cases() {
  std::vector<ModelCase> cases = {{"original", SmallAdaptiveSpan()},
                                  {"fairseq", SmallAdaptiveSpan()},
                                  {"zero_memory", SmallTransformerXl()},
                                  {"empty_memory", SmallTransformerXl()}};
  cases[1].fields.renormalize = false;
  cases[2].fields.clamp_len = 21;
  cases[3].fields.memory_start = MemoryStart::kEmpty;
  return cases;
}

constexpr int32_t kSymbols = 40;

// The needle: one text among strangers that come, go and take chunks of any
// size, the slots being shuffled by it. ln P after each of its symbols.
std::vector<float> ReadAmongStrangers(Engine* engine,
                                      const std::vector<uint16_t>& text) {
  std::mt19937 random(15);
  std::vector<SpanCache> strangers;
  SpanCache needle = *engine->NewCache();
  std::vector<float> log_probs;
  for (size_t done = 0; done < text.size();) {
    const size_t count =
        std::min<size_t>(1 + random() % 25, text.size() - done);
    const std::vector<uint16_t> noise =
        RandomSymbols(64, kSymbols, static_cast<uint32_t>(random()));
    Batch batch;
    for (SpanCache& stranger : strangers) {
      if (random() % 3 == 0) continue;
      batch.push_back({&stranger,
                       {noise.data(), 1 + random() % noise.size()},
                       static_cast<Want>(random() % 3)});
    }
    const size_t place = random() % (batch.size() + 1);
    batch.insert(batch.begin() + static_cast<int64_t>(place),
                 {&needle, {text.data() + done, count}, Want::kAll});
    const absl::StatusOr<StepResult> result = engine->Step(batch);
    EXPECT_OK(result);
    if (!result.ok()) return {};
    const std::vector<float>& part = (*result)[place].log_probs;
    log_probs.insert(log_probs.end(), part.begin(), part.end());
    done += count;
    if (random() % 2 == 0 && !strangers.empty()) strangers.pop_back();
    while (random() % 2 == 0 && strangers.size() < 6) {
      strangers.push_back(*engine->NewCache(random() % 5 * kBlock));
    }
  }
  return log_probs;
}

// An engine that breaks the promise wherever a step has two sequences.
class CompanyEngine : public Engine {
 public:
  enum Influence {
    kLastBit,  // a score's last bit moves
    kSlot,     // the first two texts read each other's slots
  };
  CompanyEngine(std::unique_ptr<Engine> engine, Influence influence)
      : engine_(std::move(engine)), influence_(influence) {}

  absl::StatusOr<SpanCache> NewCache(int64_t start = 0) override {
    return engine_->NewCache(start);
  }
  absl::StatusOr<StepResult> Step(const Batch& batch) override {
    if (batch.size() < 2) return engine_->Step(batch);
    if (influence_ == kSlot) std::swap(*batch[0].cache, *batch[1].cache);
    absl::StatusOr<StepResult> result = engine_->Step(batch);
    if (influence_ == kSlot) std::swap(*batch[0].cache, *batch[1].cache);
    if (!result.ok() || influence_ != kLastBit) return result;
    for (SequenceResult& sequence : *result) {
      for (float& p : sequence.log_probs) p = std::nextafter(p, -1000.0F);
    }
    return result;
  }

  const ModelConfig& config() const override { return engine_->config(); }
  const EngineInfo& info() const override { return engine_->info(); }
  const EngineOptions& options() const override { return engine_->options(); }
  int32_t free_slot_count() const override {
    return engine_->free_slot_count();
  }

 private:
  const std::unique_ptr<Engine> engine_;
  const Influence influence_;
};

class InvarianceTest : public testing::TestWithParam<ModelCase> {
 protected:
  std::unique_ptr<CpuEngine> NewEngine(int32_t threads) const {
    const MemoryModel model =
        RandomModel(GetParam().fields, {0.0F, 0.4F, 0.1F, 0.7F}, 21);
    EngineOptions options;
    options.threads = threads;
    options.state_budget_bytes = 64 << 20;
    absl::StatusOr<std::unique_ptr<CpuEngine>> engine =
        CpuEngine::Create(model.config, model.tensors, {}, options);
    EXPECT_TRUE(engine.ok()) << engine.status();
    return *std::move(engine);
  }

  const std::vector<uint16_t> text_ = RandomSymbols(300, kSymbols, 4);
};

TEST_P(InvarianceTest, ChunksChangeNoBit) {
  const std::unique_ptr<CpuEngine> engine = NewEngine(1);
  const std::vector<float> whole = ReadText(engine.get(), text_, {300});
  std::mt19937 random(8);

  EXPECT_EQ(whole, ReadText(engine.get(), text_, {1}));
  EXPECT_EQ(whole, ReadText(engine.get(), text_, {16}));
  EXPECT_EQ(whole, ReadText(engine.get(), text_, {5, 1, 64, 3, 130}));
  for (int round = 0; round < 4; ++round) {
    std::vector<size_t> sizes;
    for (int i = 0; i < 12; ++i) sizes.push_back(1 + random() % 70);
    EXPECT_EQ(whole, ReadText(engine.get(), text_, sizes)) << round;
  }
}

TEST_P(InvarianceTest, ThreadsChangeNoBit) {
  const std::vector<float> one = ReadText(NewEngine(1).get(), text_, {90, 1});

  EXPECT_EQ(one, ReadText(NewEngine(2).get(), text_, {90, 1}));
  EXPECT_EQ(one, ReadText(NewEngine(5).get(), text_, {90, 1}));
}

TEST_P(InvarianceTest, StrangersInTheStepChangeNoBit) {
  const std::unique_ptr<CpuEngine> engine = NewEngine(2);

  EXPECT_EQ(ReadText(engine.get(), text_, {300}),
            ReadAmongStrangers(engine.get(), text_));
}

// The controls of that test: an engine in which company has influence, be it
// the last bit of a score or a slot that is another text's, fails it.
TEST_P(InvarianceTest, ControlAStrangersInfluenceShows) {
  for (const auto influence : {CompanyEngine::kLastBit, CompanyEngine::kSlot}) {
    CompanyEngine engine(NewEngine(2), influence);

    const std::vector<float> alone = ReadText(&engine, text_, {300});

    EXPECT_EQ(alone, ReadText(NewEngine(2).get(), text_, {300}));
    EXPECT_NE(alone, ReadAmongStrangers(&engine, text_));
  }
}

TEST_P(InvarianceTest, TwoTextsReadInTurnsAreReadAsIfAlone) {
  const std::unique_ptr<CpuEngine> engine = NewEngine(2);
  const std::vector<uint16_t> other = RandomSymbols(300, kSymbols, 5);
  ASSERT_OK_AND_ASSIGN(SpanCache first, engine->NewCache());
  ASSERT_OK_AND_ASSIGN(SpanCache second, engine->NewCache());
  std::vector<float> log_probs[2];

  for (size_t done = 0; done < 300; done += 20) {
    for (int i = 0; i < 2; ++i) {
      const std::vector<float> part =
          ReadAll(engine.get(), i == 0 ? &first : &second,
                  absl::MakeConstSpan(i == 0 ? text_ : other).subspan(done, 20),
                  {i == 0 ? size_t{1} : size_t{20}});
      log_probs[i].insert(log_probs[i].end(), part.begin(), part.end());
    }
  }

  EXPECT_EQ(log_probs[0], ReadText(engine.get(), text_, {300}));
  EXPECT_EQ(log_probs[1], ReadText(engine.get(), other, {300}));
}

// A shard that reads its receptive field first goes on as the whole text does.
TEST_P(InvarianceTest, AStartInsideATextForgetsWhatIsOutOfReach) {
  const std::unique_ptr<CpuEngine> engine = NewEngine(2);
  const auto field = static_cast<int64_t>(engine->info().receptive_field_bytes);
  const std::vector<uint16_t> text =
      RandomSymbols(field + 4 * kBlock, kSymbols, 6);
  const std::vector<float> whole = ReadText(engine.get(), text, {64});

  ASSERT_OK_AND_ASSIGN(SpanCache cache, engine->NewCache(2 * kBlock));
  const std::vector<float> part =
      ReadAll(engine.get(), &cache,
              absl::MakeConstSpan(text).subspan(2 * kBlock), {50});

  // The last symbol whose distribution still sees the missing ones.
  const int64_t settled = (2 * kBlock + field - 1) * kSymbols;
  const int64_t offset = 2 * kBlock * kSymbols;
  EXPECT_TRUE(std::equal(whole.begin() + settled, whole.end(),
                         part.begin() + settled - offset, part.end()));
  EXPECT_FALSE(std::equal(whole.begin() + offset,
                          whole.begin() + offset + kSymbols, part.begin()));
}

// More controls: the comparisons above do see what differs. A text that begins
// 32 · n + 8 positions later has its sums on another grid of blocks.
TEST_P(InvarianceTest, ControlAnotherGridOfBlocksChangesBits) {
  const std::unique_ptr<CpuEngine> engine = NewEngine(1);
  const int64_t field = engine->info().receptive_field_bytes;
  const std::vector<uint16_t> prefix = RandomSymbols(8, kSymbols, 7);
  const std::vector<uint16_t> text = RandomSymbols(field + 64, kSymbols, 6);
  std::vector<uint16_t> shifted = prefix;
  shifted.insert(shifted.end(), text.begin(), text.end());

  const std::vector<float> straight = ReadText(engine.get(), text, {64});
  const std::vector<float> moved = ReadText(engine.get(), shifted, {64});

  const int64_t settled = (field - 1) * kSymbols;
  const int64_t offset = 8 * kSymbols;
  bool same_bits = true;
  for (size_t i = settled; i < straight.size(); ++i) {
    same_bits = same_bits && straight[i] == moved[i + offset];
    ASSERT_NEAR(straight[i], moved[i + offset], 1e-4);
  }
  EXPECT_FALSE(same_bits);
}

TEST_P(InvarianceTest, ControlAnotherSymbolInReachChangesTheScores) {
  const std::unique_ptr<CpuEngine> engine = NewEngine(1);
  std::vector<uint16_t> changed = text_;
  changed[280] ^= 1;

  const std::vector<float> before = ReadText(engine.get(), text_, {16});
  const std::vector<float> after = ReadText(engine.get(), changed, {16});

  EXPECT_TRUE(std::equal(before.begin(), before.begin() + 280 * kSymbols,
                         after.begin()));
  EXPECT_FALSE(std::equal(before.begin() + 290 * kSymbols, before.end(),
                          after.begin() + 290 * kSymbols));
}

INSTANTIATE_TEST_SUITE_P(Models, InvarianceTest, testing::ValuesIn(Cases()),
                         [](const testing::TestParamInfo<ModelCase>& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace spanlm
