// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/score_job.h"

#include <cmath>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/jobs/reason.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/job_driver.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

struct Outcome {
  int done_count = 0;
  absl::StatusOr<std::vector<ScoreResult>> results =
      absl::UnknownError("not done");
};

class ScoreJobTest : public testing::Test {
 protected:
  // A call over lent texts whose end is kept in outcome_.
  std::unique_ptr<ScoreCall> NewCall(const SymbolMap& symbols,
                                     std::vector<ScoreItem> items,
                                     const ScoreOptions& options = {}) {
    return std::make_unique<ScoreCall>(
        &symbols, std::move(items), options,
        [this](const absl::StatusOr<std::vector<ScoreResult>>& results,
               const RequestTiming&) {
          ++outcome_.done_count;
          outcome_.results = results;
        });
  }

  // Scores one item in chunks of `chunk`.
  ScoreResult Score(const ScoreItem& item, const ScoreOptions& options,
                    int64_t chunk) {
    const std::unique_ptr<ScoreCall> call = NewCall(symbols_, {item}, options);
    EXPECT_OK(Drive(&engine_, call->MakeJobs()[0].get(), chunk));
    EXPECT_OK(outcome_.results);
    return outcome_.results->at(0);
  }

  FakeEngine engine_;
  const SymbolMap symbols_ = *SymbolMap::Create(engine_.config());
  Outcome outcome_;
};

TEST_F(ScoreJobTest, ScoresTheContinuationAfterItsContext) {
  const ScoreResult result = Score({"the context, ", "and more"}, {}, 512);

  EXPECT_OK(result.status);
  EXPECT_EQ(result.byte_count, 8);
  EXPECT_EQ(result.total, FakeScore(engine_, "the context, and more", 13));
}

TEST_F(ScoreJobTest, ChargesExactlyEightBitsForATextsFirstByte) {
  const ScoreResult result = Score({"", "x"}, {}, 512);

  EXPECT_EQ(result.total.bits(), 8.0);
}

TEST_F(ScoreJobTest, GivesTheSameWhateverTheChunks) {
  const ScoreOptions options{true, 3, true};
  const ScoreItem item{"some context", "and a continuation of it"};
  const ScoreResult whole = Score(item, options, 512);
  for (const int64_t chunk : {1, 2, 5, 7, 12, 13, 35}) {
    const ScoreResult result = Score(item, options, chunk);

    EXPECT_EQ(result.total, whole.total) << chunk;
    EXPECT_EQ(result.log_probs, whole.log_probs) << chunk;
    ASSERT_EQ(result.tops.size(), whole.tops.size());
    for (size_t i = 0; i < whole.tops.size(); ++i) {
      EXPECT_EQ(result.tops[i].bytes, whole.tops[i].bytes) << chunk;
    }
  }
}

TEST_F(ScoreJobTest, TheSumIsThatOfTheBytesLogProbabilities) {
  const ScoreOptions options{true, 0, false};
  const ScoreResult result = Score({"", "abcabc"}, options, 4);

  ASSERT_EQ(result.log_probs.size(), 6u);
  BitsTotal total;
  total.AddUniformBytes(1);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(result.log_probs[i], FakeLogProb(engine_, "abcabc", i)) << i;
    if (i > 0) total.Add(-result.log_probs[i]);
  }
  EXPECT_EQ(result.total, total);
  EXPECT_TRUE(result.tops.empty());
}

TEST_F(ScoreJobTest, DistributionsAndTargetsGiveTheSameFloats) {
  const ScoreItem item{"ab", "cdefgh"};
  const ScoreResult targets = Score(item, {true, 0, false}, 3);
  const ScoreResult distributions = Score(item, {true, 256, true}, 3);

  EXPECT_EQ(targets.log_probs, distributions.log_probs);
  EXPECT_EQ(targets.total, distributions.total);
}

TEST_F(ScoreJobTest, RanksTheLikeliestBytesOfEveryPosition) {
  const ScoreResult result = Score({"", "pq"}, {true, 256, false}, 512);

  ASSERT_EQ(result.tops.size(), 2u);
  // Uniform at the start: byte order.
  EXPECT_EQ(result.tops[0].bytes[0], '\0');
  EXPECT_EQ(result.tops[0].bytes[255], '\xff');
  ASSERT_EQ(result.tops[1].log_probs.size(), 256u);
  for (size_t i = 1; i < 256; ++i) {
    EXPECT_GE(result.tops[1].log_probs[i - 1], result.tops[1].log_probs[i]);
  }
  EXPECT_EQ(result.tops[1].log_probs[result.tops[1].bytes.find('q')],
            result.log_probs[1]);
}

TEST_F(ScoreJobTest, IsGreedyOnlyWhereEveryByteIsTheArgMax) {
  const std::vector<float> after = engine_.LogProbsAfter({'a'});
  const char best = static_cast<char>(
      std::max_element(after.begin(), after.end()) - after.begin());
  const ScoreOptions options{false, 0, true};

  EXPECT_TRUE(Score({"a", std::string(1, best)}, options, 1).greedy);
  EXPECT_FALSE(
      Score({"a", std::string(1, static_cast<char>(best + 1))}, options, 1)
          .greedy);
  EXPECT_TRUE(Score({"", absl::string_view("\0", 1)}, options, 1).greedy);
  EXPECT_FALSE(Score({"", "\x01"}, options, 1).greedy);
  EXPECT_TRUE(Score({"a", ""}, options, 1).greedy);
  EXPECT_FALSE(Score({"a", std::string(1, best)}, {}, 1).greedy)
      << "only if it was asked for";
}

TEST_F(ScoreJobTest, ReadsNothingForAnEmptyContinuation) {
  const ScoreResult result = Score({"context", ""}, {}, 512);

  EXPECT_OK(result.status);
  EXPECT_EQ(result.byte_count, 0);
  EXPECT_EQ(result.total, BitsTotal());
  EXPECT_TRUE(engine_.steps().empty());
}

TEST_F(ScoreJobTest, AsksNothingOfTheEngineAboutContext) {
  Score({"0123456789", "x"}, {}, 4);

  const std::vector<FakeStep> steps = engine_.steps();
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0][0].want, Want::kNothing);
  EXPECT_EQ(steps[1][0].want, Want::kNothing);
  EXPECT_EQ(steps[2][0].want, Want::kTargets);
}

TEST_F(ScoreJobTest, CallsDoneOnceAfterTheLastItem) {
  const auto call = NewCall(symbols_, {{"a", "b"}, {"", "cd"}, {"e", ""}});
  std::vector<std::unique_ptr<Job>> jobs = call->MakeJobs();

  EXPECT_OK(Drive(&engine_, jobs[1].get(), 1));
  EXPECT_OK(Drive(&engine_, jobs[2].get(), 1));
  EXPECT_EQ(outcome_.done_count, 0);
  EXPECT_OK(Drive(&engine_, jobs[0].get(), 1));

  EXPECT_EQ(outcome_.done_count, 1);
  ASSERT_OK(outcome_.results);
  ASSERT_EQ(outcome_.results->size(), 3u);
  EXPECT_EQ(outcome_.results->at(0).total, FakeScore(engine_, "ab", 1));
  EXPECT_EQ(outcome_.results->at(1).total, FakeScore(engine_, "cd", 0));
  EXPECT_EQ(outcome_.results->at(2).byte_count, 0);
  EXPECT_EQ(call->input_bytes(), 5);
}

TEST_F(ScoreJobTest, TheFirstErrorIsTheCalls) {
  const auto call = NewCall(symbols_, {{"a", "b"}, {"", "cd"}});
  std::vector<std::unique_ptr<Job>> jobs = call->MakeJobs();
  jobs[0]->End(absl::CancelledError("gone"), RequestTiming());
  jobs[1]->End(absl::OkStatus(), RequestTiming());

  EXPECT_THAT(outcome_.results, StatusIs(absl::StatusCode::kCancelled, "gone"));
}

TEST_F(ScoreJobTest, TheCallMayBeDeletedByItsEnd) {
  std::unique_ptr<ScoreCall> call;
  bool is_done = false;
  call = std::make_unique<ScoreCall>(
      &symbols_, std::vector<ScoreItem>{{"", "x"}}, ScoreOptions(),
      [&call, &is_done](const auto& results, const RequestTiming&) {
        call.reset();
        is_done = results.ok() && results->size() == 1;
      });
  const std::vector<std::unique_ptr<Job>> jobs = call->MakeJobs();

  EXPECT_OK(Drive(&engine_, jobs[0].get(), 1));

  EXPECT_TRUE(is_done);
}

TEST_F(ScoreJobTest, ANumberThatIsNoneIsAnErrorWithAReason) {
  const auto call = NewCall(symbols_, {{"", "xy"}});
  const std::vector<std::unique_ptr<Job>> jobs = call->MakeJobs();
  ASSERT_OK_AND_ASSIGN(SpanCache cache, engine_.NewCache());
  ASSERT_OK(jobs[0]->Next(2));

  const absl::Status status =
      jobs[0]->Consume({{-5.5F, std::nanf("")}}, cache).status();

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, "nan"));
  EXPECT_EQ(ReasonOf(status), kReasonNan);
}

// Symbols: "a" and "b" alone; optionally an <unk> for all other bytes.
FakeEngineOptions TwoLetters(bool has_unknown) {
  FakeEngineOptions options;
  options.symbols = {'a', 'b', std::nullopt};
  options.unknown_symbol = has_unknown ? 2 : -1;
  return options;
}

TEST_F(ScoreJobTest, AnItemWithoutSymbolsFailsAlone) {
  const FakeEngine engine(TwoLetters(false));
  const SymbolMap symbols = *SymbolMap::Create(engine.config());
  const auto call = NewCall(symbols, {{"ab", "abx"}, {"ay", "b"}, {"a", "b"}});
  const std::vector<std::unique_ptr<Job>> jobs = call->MakeJobs();
  EXPECT_TRUE(jobs[0]->done());
  EXPECT_TRUE(jobs[1]->done());
  EXPECT_FALSE(jobs[2]->done());
  for (const auto& job : jobs) job->End(absl::OkStatus(), RequestTiming());

  ASSERT_OK(outcome_.results);
  const absl::Status first = outcome_.results->at(0).status;
  EXPECT_THAT(first, StatusIs(absl::StatusCode::kInvalidArgument,
                              testing::AllOf(testing::HasSubstr("continuation"),
                                             testing::HasSubstr("offset 2"))));
  EXPECT_EQ(ReasonOf(first), kReasonFieldInvalid);
  EXPECT_EQ(outcome_.results->at(0).byte_count, 0);
  EXPECT_THAT(
      outcome_.results->at(1).status,
      StatusIs(absl::StatusCode::kInvalidArgument, "context: byte 121"));
  EXPECT_OK(outcome_.results->at(2).status);
}

TEST_F(ScoreJobTest, BytesWithoutSymbolsShareTheUnknownOnesProbability) {
  FakeEngine engine(TwoLetters(true));
  const SymbolMap symbols = *SymbolMap::Create(engine.config());
  const auto call = NewCall(symbols, {{"ab", "z"}}, {true, 0, false});
  const std::vector<std::unique_ptr<Job>> jobs = call->MakeJobs();

  EXPECT_OK(Drive(&engine, jobs[0].get(), 3));

  const std::vector<uint16_t> text = {0, 1};
  EXPECT_NEAR(outcome_.results->at(0).log_probs[0],
              engine.LogProbsAfter(text)[2] - std::log(254.0), 1e-5);
}

TEST_F(ScoreJobTest, AnUnknownFirstByteAlsoCostsEightBits) {
  FakeEngine engine(TwoLetters(true));
  const SymbolMap symbols = *SymbolMap::Create(engine.config());
  for (const bool is_greedy : {false, true}) {
    const auto call = NewCall(symbols, {{"", "z"}}, {true, 0, is_greedy});
    EXPECT_OK(Drive(&engine, call->MakeJobs()[0].get(), 3));
    EXPECT_EQ(outcome_.results->at(0).total.bits(), 8.0);
    EXPECT_NEAR(outcome_.results->at(0).log_probs[0], -std::log(256.0), 1e-6);
  }
}

}  // namespace
}  // namespace spanlm
