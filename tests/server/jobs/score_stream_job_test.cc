// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/score_stream_job.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/jobs/evaluate_job.h"
#include "server/jobs/reason.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/job_driver.h"
#include "tests/fakes/recording_sinks.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

std::string RandomText(uint32_t seed, size_t size) {
  std::mt19937 random(seed);
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    const char letter = static_cast<char>(random() % 256);
    text.push_back(random() % 9 == 0 ? '\n' : letter);
  }
  return text;
}

class ScoreStreamJobTest : public testing::Test {
 protected:
  // Scores `text` whole, in chunks of `chunk`.
  void Score(absl::string_view text, const ScoreStreamOptions& options,
             int64_t chunk) {
    sink_ = std::make_unique<RecordingScoreStreamSink>();
    TextInbox inbox;
    inbox.Append(text);
    inbox.Finish();
    ScoreStreamJob job(&symbols_, options, &inbox, sink_.get());
    EXPECT_OK(Drive(&engine_, &job, chunk));
    EXPECT_EQ(sink_->ended.count(), 1);
  }

  FakeEngine engine_;
  const SymbolMap symbols_ = *SymbolMap::Create(engine_.config());
  std::unique_ptr<RecordingScoreStreamSink> sink_ =
      std::make_unique<RecordingScoreStreamSink>();
};

TEST_F(ScoreStreamJobTest, ScoresADocumentAsOneText) {
  const std::string text = RandomText(1, 1000);
  Score(text, {}, 64);

  EXPECT_OK(sink_->status);
  ASSERT_EQ(sink_->answers.size(), 1u);
  EXPECT_EQ(sink_->answers[0].state.position, 1000);
  EXPECT_EQ(sink_->answers[0].state.total, FakeScore(engine_, text, 0));
  EXPECT_EQ(sink_->answers[0].delta, sink_->answers[0].state.total);
}

TEST_F(ScoreStreamJobTest, AnswersOnceForAnEmptyDocument) {
  Score("", {}, 64);

  ASSERT_EQ(sink_->answers.size(), 1u);
  EXPECT_EQ(sink_->answers[0].state.position, 0);
  EXPECT_EQ(sink_->answers[0].state.total, BitsTotal());
}

TEST_F(ScoreStreamJobTest, AnswersAtLeastEach64KiB) {
  const std::string text = RandomText(2, 300000);
  Score(text, {}, 512);

  int64_t position = 0;
  BitsTotal sum;
  for (const ScoreStreamAnswer& answer : sink_->answers) {
    EXPECT_LE(answer.state.position - position,
              ScoreStreamJob::kAnswerBytes + 512);
    position = answer.state.position;
    sum += answer.delta;
    EXPECT_EQ(sum, answer.state.total);
  }
  EXPECT_EQ(position, 300000);
  EXPECT_EQ(sink_->answers.size(), 5u);
}

TEST_F(ScoreStreamJobTest, AnswersWhenAllReceivedTextIsScored) {
  TextInbox inbox;
  ScoreStreamJob job(&symbols_, {}, &inbox, sink_.get());
  EXPECT_EQ(job.Ready().symbols, 0);
  ASSERT_OK_AND_ASSIGN(SpanCache cache, engine_.NewCache());
  std::string text;
  for (const char* piece : {"some", " text", " comes"}) {
    inbox.Append(piece);
    text += piece;
    while (job.Ready().symbols > 0) {
      ASSERT_OK_AND_ASSIGN(const Chunk chunk, job.Next(3));
      ASSERT_OK_AND_ASSIGN(const StepResult result,
                           engine_.Step({{&cache, chunk.symbols, chunk.want}}));
      ASSERT_OK(job.Consume(result[0], cache));
    }
    ASSERT_FALSE(sink_->answers.empty());
    EXPECT_EQ(sink_->answers.back().state.total, FakeScore(engine_, text, 0));
  }
  EXPECT_EQ(sink_->answers.size(), 3u);
  EXPECT_FALSE(job.done());
  inbox.Finish();
  job.Ready();
  EXPECT_TRUE(job.done());
  EXPECT_EQ(sink_->answers.size(), 4u);
  EXPECT_EQ(sink_->answers.back().delta, BitsTotal());
  EXPECT_EQ(sink_->taken_count, 2 + 2 + 2);
}

TEST_F(ScoreStreamJobTest, ScoresLinesHoweverTheyAreCut) {
  const std::string text = RandomText(3, 500) + "no newline at the end";
  ScoreStreamOptions options;
  options.unit = ScoreUnit::kLine;
  for (const int64_t chunk : {1, 5, 64, 512}) {
    Score(text, options, chunk);
    size_t begin = 0;
    for (const ScoreStreamAnswer& answer : sink_->answers) {
      for (const UnitScore& unit : answer.units) {
        const size_t end =
            std::min(text.find('\n', begin), text.size() - 1) + 1;
        ASSERT_EQ(unit.byte_count, static_cast<int64_t>(end - begin));
        ASSERT_EQ(unit.total, FakeScore(engine_, text.substr(0, end), begin));
        begin = end;
      }
    }
    EXPECT_EQ(begin, text.size());
  }
}

TEST_F(ScoreStreamJobTest, ScoresBlocksOfWhichTheLastMayBeShort) {
  const std::string text = RandomText(4, 250);
  ScoreStreamOptions options;
  options.unit = ScoreUnit::kBlock;
  options.block_bytes = 100;
  Score(text, options, 33);

  ASSERT_EQ(sink_->answers.size(), 1u);
  const std::vector<UnitScore>& units = sink_->answers[0].units;
  ASSERT_EQ(units.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const size_t end = std::min<size_t>(100 * (i + 1), 250);
    EXPECT_EQ(units[i].byte_count, static_cast<int64_t>(end - 100 * i));
    EXPECT_EQ(units[i].total, FakeScore(engine_, text.substr(0, end), 100 * i));
  }
}

TEST_F(ScoreStreamJobTest, ReturnsByteScoresInPiecesOfBoundedSize) {
  const std::string text = RandomText(5, 4000);
  ScoreStreamOptions options;
  options.output = {true, 256, true};
  Score(text, options, 4000);

  size_t position = 0;
  for (const ScoreStreamAnswer& answer : sink_->answers) {
    EXPECT_LT(answer.tops.size() * 256 * 5, 2 * options.max_score_bytes);
    ASSERT_EQ(answer.tops.size(), answer.log_probs.size());
    for (float log_prob : answer.log_probs) {
      ASSERT_EQ(log_prob, FakeLogProb(engine_, text, position));
      ++position;
    }
  }
  EXPECT_EQ(position, text.size());
  EXPECT_FALSE(sink_->answers.back().state.greedy);
}

TEST_F(ScoreStreamJobTest, HoldsWhatItsInboxMayHold) {
  ScoreStreamOptions options;
  options.inbox_bytes = 1 << 20;
  TextInbox inbox;

  const ScoreStreamJob job(&symbols_, options, &inbox, sink_.get());

  EXPECT_GE(job.held_bytes(), 1 << 20);
}

TEST_F(ScoreStreamJobTest, AResumedStreamEndsWithTheVerySameSum) {
  const std::string text = RandomText(6, 2000);
  ScoreStreamOptions options;
  options.unit = ScoreUnit::kLine;
  options.output.is_greedy = true;
  for (const size_t cut : {1u, 31u, 32u, 777u, 1999u, 2000u}) {
    RecordingScoreStreamSink first;
    TextInbox inbox;
    inbox.Append(text.substr(0, cut));
    ScoreStreamJob job(&symbols_, options, &inbox, &first);
    EXPECT_THAT(Drive(&engine_, &job, 50),
                StatusIs(absl::StatusCode::kUnavailable));
    ASSERT_FALSE(first.answers.empty());

    ScoreStreamOptions rest = options;
    rest.from = first.answers.back().state;
    rest.start = WarmupStart(rest.from.position, FakeEngine::kContext);
    RecordingScoreStreamSink second;
    TextInbox rest_inbox;
    rest_inbox.Append(text.substr(static_cast<size_t>(rest.start)));
    rest_inbox.Finish();
    ScoreStreamJob rest_job(&symbols_, rest, &rest_inbox, &second);
    EXPECT_OK(Drive(&engine_, &rest_job, 50));

    const ScoreStreamState& end = second.answers.back().state;
    EXPECT_EQ(end.total, FakeScore(engine_, text, 0)) << cut;
    EXPECT_EQ(end.position, 2000);
    int64_t unit_bytes = 0;
    BitsTotal unit_total;
    for (const auto* sink : {&first, &second}) {
      for (const ScoreStreamAnswer& answer : sink->answers) {
        for (const UnitScore& unit : answer.units) {
          unit_bytes += unit.byte_count;
          unit_total += unit.total;
        }
      }
    }
    EXPECT_EQ(unit_bytes, 2000) << cut;
    EXPECT_EQ(unit_total, end.total) << cut;
  }
}

TEST_F(ScoreStreamJobTest, PausesWhileItsSinkHasNoRoom) {
  TextInbox inbox;
  inbox.Append("text");
  inbox.Finish();
  sink_->room = false;
  ScoreStreamJob job(&symbols_, {}, &inbox, sink_.get());

  EXPECT_EQ(job.Ready().symbols, 0);
  EXPECT_FALSE(job.done());
}

TEST_F(ScoreStreamJobTest, NamesWhereAByteWithoutSymbolLies) {
  FakeEngineOptions letters;
  letters.symbols = {'a', 'b', std::nullopt};
  FakeEngine engine(letters);
  const SymbolMap symbols = *SymbolMap::Create(engine.config());
  TextInbox inbox;
  inbox.Append("abababaX");
  ScoreStreamJob job(&symbols, {}, &inbox, sink_.get());

  const absl::Status status = Drive(&engine, &job, 3);

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               testing::AllOf(testing::HasSubstr("offset 6 on"),
                                              testing::HasSubstr("offset 1"))));
  EXPECT_EQ(ReasonOf(status), kReasonFieldInvalid);
}

TEST(TextInboxTest, KeepsTheOrderOfRandomPieces) {
  std::mt19937 random(7);
  const std::string text = RandomText(8, 20000);
  TextInbox inbox;
  std::string taken, piece;
  size_t added = 0;
  while (taken.size() < text.size()) {
    const size_t count = std::min<size_t>(random() % 300, text.size() - added);
    inbox.Append(absl::string_view(text).substr(added, count));
    added += count;
    inbox.Take(random() % 300, &piece);
    taken += piece;
    ASSERT_EQ(inbox.size_bytes(), static_cast<int64_t>(added - taken.size()));
  }
  EXPECT_EQ(taken, text);
  EXPECT_FALSE(inbox.is_finished());
  inbox.Finish();
  EXPECT_TRUE(inbox.is_finished());
}

}  // namespace
}  // namespace spanlm
