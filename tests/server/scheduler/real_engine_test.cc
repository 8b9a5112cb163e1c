// SPDX-License-Identifier: Apache-2.0
// The scheduler and the jobs over the CPU's engine: what they promise about
// exactness holds with real kernels.
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/runtime/cpu_engine.h"
#include "gtest/gtest.h"
#include "server/jobs/evaluate_job.h"
#include "server/jobs/generate_job.h"
#include "server/jobs/reason.h"
#include "server/jobs/score_job.h"
#include "server/metrics/metrics.h"
#include "server/scheduler/scheduler.h"
#include "tests/fakes/end_signal.h"
#include "tests/fakes/recording_sinks.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

MemoryModel ByteModel(ModelFields fields) {
  fields.vocab_size = 256;
  fields.symbols = AllBytes();
  return RandomModel(fields, {0.0F, 0.3F, 0.1F, 0.6F}, 17);
}

std::unique_ptr<CpuEngine> NewEngine(const MemoryModel& model) {
  EngineOptions options;
  options.threads = 2;
  options.state_budget_bytes = 16 << 20;
  return *CpuEngine::Create(model.config, model.tensors, {}, options);
}

std::string RandomText(uint32_t seed, size_t size) {
  std::mt19937 random(seed);
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text.push_back(static_cast<char>(random() % 256));
  }
  return text;
}

struct Scored {
  std::string text;
  std::unique_ptr<ScoreCall> call;
  absl::StatusOr<std::vector<ScoreResult>> results =
      absl::UnknownError("not done");
  EndSignal ended;
};

// One engine under one scheduler.
class Bench {
 public:
  explicit Bench(const MemoryModel& model, int32_t max_step_symbols = 512)
      : engine_(NewEngine(model)),
        symbols_(*SymbolMap::Create(model.config)),
        metrics_({"", "", "", ""}),
        scheduler_(Options(max_step_symbols), engine_.get(),
                   metrics_.AddModel(ModelFacts())) {}
  ~Bench() { scheduler_.CancelAll(); }

  std::unique_ptr<Scored> StartScore(const std::string& text) {
    auto scored = std::make_unique<Scored>();
    scored->text = text;
    scored->call = std::make_unique<ScoreCall>(
        &symbols_, std::vector<ScoreItem>{{"", scored->text}},
        ScoreOptions{true, 0, false},
        [lent = scored.get()](const auto& results, const RequestTiming&) {
          lent->results = results;
          lent->ended.Notify();
        });
    scheduler_.Submit({}, scored->call->MakeJobs());
    return scored;
  }

  absl::StatusOr<ScoreResult> Score(const std::string& text) {
    const std::unique_ptr<Scored> scored = StartScore(text);
    scored->ended.Wait();
    if (!scored->results.ok()) return scored->results.status();
    return scored->results->at(0);
  }

  // `prompt` is lent until the sink's end.
  void StartGenerate(absl::string_view prompt, int64_t max_bytes,
                     RecordingGenerateSink* sink) {
    GenerateOptions options;
    options.max_bytes = max_bytes;
    options.log_probs = true;
    options.sampling.seed = 5;
    std::vector<std::unique_ptr<Job>> jobs;
    jobs.push_back(
        *GenerateJob::Create(&symbols_, prompt, options, sink, absl::Now));
    scheduler_.Submit({}, std::move(jobs));
  }

  // The sum over [begin, end) of `data`.
  BitsTotal Evaluate(const std::string& data, int64_t begin, int64_t end) {
    EvaluateOptions options;
    options.begin = begin;
    options.end = end;
    options.receptive_field_bytes = engine_->info().receptive_field_bytes;
    options.warmup_bytes = options.receptive_field_bytes;
    RecordingEvaluateSink sink;
    std::vector<std::unique_ptr<Job>> jobs;
    jobs.push_back(std::make_unique<EvaluateJob>(
        &symbols_, options,
        [&data](int64_t offset, int64_t count, std::string* bytes) {
          *bytes = data.substr(static_cast<size_t>(offset),
                               static_cast<size_t>(count));
          return absl::OkStatus();
        },
        &sink, absl::Now));
    scheduler_.Submit({}, std::move(jobs));
    sink.ended.Wait();
    EXPECT_OK(sink.status);
    return sink.state.total;
  }

 private:
  static SchedulerOptions Options(int32_t max_step_symbols) {
    SchedulerOptions options;
    options.policy.max_step_symbols = max_step_symbols;
    return options;
  }

  const std::unique_ptr<CpuEngine> engine_;
  const SymbolMap symbols_;
  Metrics metrics_;
  Scheduler scheduler_;
};

class RealEngineTest : public testing::TestWithParam<bool> {
 protected:
  const MemoryModel model_ =
      ByteModel(GetParam() ? SmallTransformerXl() : SmallAdaptiveSpan());
};

TEST_P(RealEngineTest, AScoreDoesNotDependOnCompanyOrStepSize) {
  const std::string needle = RandomText(1, 600);
  ASSERT_OK_AND_ASSIGN(const ScoreResult alone, Bench(model_).Score(needle));
  std::mt19937 random(2);
  for (const int32_t max_step_symbols : {512, 96, 16}) {
    Bench bench(model_, max_step_symbols);
    std::vector<std::unique_ptr<Scored>> strangers;
    for (int i = 0; i < 6; ++i) {
      strangers.push_back(
          bench.StartScore(RandomText(100 + i, random() % 400)));
    }
    ASSERT_OK_AND_ASSIGN(const ScoreResult result, bench.Score(needle));

    EXPECT_EQ(result.total, alone.total) << max_step_symbols;
    EXPECT_EQ(result.log_probs, alone.log_probs) << max_step_symbols;
    for (const auto& stranger : strangers) stranger->ended.Wait();
  }
}

TEST_P(RealEngineTest, GeneratedBytesHaveTheVeryFloatsOfTheirScore) {
  Bench bench(model_);
  const std::string prompt = RandomText(3, 90);
  RecordingGenerateSink sink;
  const auto stranger = bench.StartScore(RandomText(4, 3000));
  bench.StartGenerate(prompt, 60, &sink);
  sink.ended.Wait();
  stranger->ended.Wait();
  ASSERT_OK(sink.status);
  ASSERT_OK_AND_ASSIGN(const ScoreResult score,
                       bench.Score(prompt + sink.text));

  std::vector<float> generated;
  for (const GeneratedBytes& piece : sink.pieces) {
    generated.insert(generated.end(), piece.log_probs.begin(),
                     piece.log_probs.end());
  }
  EXPECT_EQ(generated, std::vector<float>(score.log_probs.begin() + 90,
                                          score.log_probs.end()));
}

TEST_P(RealEngineTest, ShardsOfAnEvaluationAddUpToTheLastBit) {
  Bench bench(model_, 64);
  const std::string data = RandomText(6, 2500);
  ASSERT_OK_AND_ASSIGN(const ScoreResult whole, bench.Score(data));
  BitsTotal sum;
  for (int64_t begin = 0; begin < 2500; begin += 613) {
    sum += bench.Evaluate(data, begin, std::min<int64_t>(begin + 613, 2500));
  }

  EXPECT_EQ(bench.Evaluate(data, 0, 2500), whole.total);
  EXPECT_EQ(sum, whole.total);
}

TEST_P(RealEngineTest, ScoresThatOverflowGiveAnErrorWithAReason) {
  MemoryModel model = model_;
  const std::string name = GetParam() ? "out_layer.bias" : "out_emb.bias";
  std::string found;
  for (const std::string& tensor : model.tensors.names()) {
    if (tensor.find("out") != std::string::npos &&
        tensor.find("bias") != std::string::npos) {
      found = tensor;
    }
  }
  ASSERT_FALSE(found.empty()) << name;
  std::vector<float> values = model.tensors.Get(found);
  values[7] = std::numeric_limits<float>::max();
  values[8] = std::numeric_limits<float>::lowest();
  model.tensors.Set(found, {static_cast<int64_t>(values.size())}, values);

  const absl::Status status = Bench(model).Score("text").status();

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(ReasonOf(status), kReasonNan);
}

INSTANTIATE_TEST_SUITE_P(Models, RealEngineTest, testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "TransformerXl" : "AdaptiveSpan";
                         });

}  // namespace
}  // namespace spanlm
