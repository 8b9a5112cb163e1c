// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/evaluate_job.h"

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
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
    text.push_back(static_cast<char>(random() % 256));
  }
  return text;
}

class EvaluateJobTest : public testing::Test {
 protected:
  EvaluateOptions Range(int64_t begin, int64_t end) {
    EvaluateOptions options;
    options.begin = begin;
    options.end = end;
    options.warmup_bytes = FakeEngine::kContext;
    options.receptive_field_bytes = FakeEngine::kContext;
    return options;
  }

  ReadData Reader() {
    return [this](int64_t offset, int64_t count, std::string* bytes) {
      read_from_ = std::min(read_from_, offset);
      *bytes =
          data_.substr(static_cast<size_t>(offset), static_cast<size_t>(count));
      return absl::OkStatus();
    };
  }

  absl::Status Evaluate(const EvaluateOptions& options, int64_t chunk) {
    sink_ = std::make_unique<RecordingEvaluateSink>();
    read_from_ = INT64_MAX;
    EvaluateJob job(&symbols_, options, Reader(), sink_.get(), clock_.reader());
    return Drive(&engine_, &job, chunk);
  }

  FakeClock clock_;
  FakeEngine engine_;
  const SymbolMap symbols_ = *SymbolMap::Create(engine_.config());
  const std::string data_ = RandomText(9, 5000);
  std::unique_ptr<RecordingEvaluateSink> sink_;
  int64_t read_from_ = 0;
};

TEST(WarmupStartTest, IsTheMultipleOfABlockThatLeavesEnough) {
  EXPECT_EQ(WarmupStart(0, 100), 0);
  EXPECT_EQ(WarmupStart(50, 100), 0);
  EXPECT_EQ(WarmupStart(100, 100), 0);
  EXPECT_EQ(WarmupStart(1000, 100), 896);
  EXPECT_EQ(WarmupStart(1000, -1), 0);
  EXPECT_EQ(WarmupStart(992, 32), 960);
}

TEST(WarmupStartTest, LeavesAtLeastOneByte) {
  EXPECT_EQ(WarmupStart(64, 0), 32);
  EXPECT_EQ(WarmupStart(65, 0), 64);
  EXPECT_EQ(WarmupStart(1, 0), 0);
}

TEST_F(EvaluateJobTest, ScoresAWholeTextWithItsUniformFirstByte) {
  EXPECT_OK(Evaluate(Range(0, 5000), 512));

  EXPECT_EQ(sink_->state.total, FakeScore(engine_, data_, 0));
  EXPECT_EQ(sink_->state.position, 5000);
  EXPECT_EQ(sink_->scored, data_);
  EXPECT_TRUE(sink_->state.blocks.empty());
}

TEST_F(EvaluateJobTest, ARangeCostsWhatItCostsInsideTheWhole) {
  for (const auto& [begin, end] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 2}, {31, 100}, {32, 33}, {1000, 1500}, {4999, 5000}}) {
    EXPECT_OK(Evaluate(Range(begin, end), 100));

    EXPECT_EQ(sink_->state.total,
              FakeScore(engine_, data_.substr(0, static_cast<size_t>(end)),
                        static_cast<size_t>(begin)));
    EXPECT_EQ(read_from_, WarmupStart(begin, FakeEngine::kContext));
    EXPECT_EQ(sink_->scored, data_.substr(static_cast<size_t>(begin),
                                          static_cast<size_t>(end - begin)));
  }
}

TEST_F(EvaluateJobTest, AdjacentRangesAddUpToTheWhole) {
  BitsTotal sum;
  for (int64_t begin = 0; begin < 5000; begin += 777) {
    EXPECT_OK(Evaluate(Range(begin, std::min<int64_t>(begin + 777, 5000)),
                       1 + begin % 100));
    sum += sink_->state.total;
  }

  EXPECT_EQ(sum, FakeScore(engine_, data_, 0));
}

TEST_F(EvaluateJobTest, HoldsTheDataThatCameWithTheRequest) {
  sink_ = std::make_unique<RecordingEvaluateSink>();
  EvaluateOptions options = Range(0, 5000);
  options.inline_bytes = 5000;

  const EvaluateJob job(&symbols_, options, Reader(), sink_.get(),
                        clock_.reader());

  EXPECT_GE(job.held_bytes(), 5000);
}

TEST_F(EvaluateJobTest, AnEmptyRangeIsDoneAtOnce) {
  EXPECT_OK(Evaluate(Range(100, 100), 10));

  EXPECT_EQ(sink_->state.total, BitsTotal());
  EXPECT_TRUE(engine_.steps().empty());
}

TEST_F(EvaluateJobTest, ReadsFromTheDatasStartIfTold) {
  EvaluateOptions options = Range(3000, 3010);
  options.warmup_bytes = -1;
  EXPECT_OK(Evaluate(options, 512));

  EXPECT_EQ(read_from_, 0);
  EXPECT_EQ(sink_->state.total,
            FakeScore(engine_, data_.substr(0, 3010), 3000));
}

TEST_F(EvaluateJobTest, ReportsTheBitsOfEveryBlock) {
  EvaluateOptions options = Range(100, 1350);
  options.block_bytes = 500;
  EXPECT_OK(Evaluate(options, 77));

  ASSERT_EQ(sink_->state.blocks.size(), 3u);
  const std::vector<size_t> bounds = {100, 600, 1100, 1350};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(sink_->state.blocks[i],
              FakeScore(engine_, data_.substr(0, bounds[i + 1]), bounds[i]));
  }
}

TEST_F(EvaluateJobTest, TellsOfItsProgressAtTheInterval) {
  EvaluateOptions options = Range(0, 1000);
  options.progress_interval = absl::Seconds(3);
  engine_.SetHook([this](int64_t) {
    clock_.Advance(absl::Seconds(1));
    return absl::OkStatus();
  });
  EXPECT_OK(Evaluate(options, 100));  // ten steps

  ASSERT_EQ(sink_->progress.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const size_t position = 300 * (i + 1);
    EXPECT_EQ(sink_->progress[i].position, static_cast<int64_t>(position));
    EXPECT_EQ(sink_->progress[i].total,
              FakeScore(engine_, data_.substr(0, position), 0));
  }
}

// Ends at every step in turn; the rest, resumed, gives the very same sums.
TEST_F(EvaluateJobTest, ResumesFromWhereverItEnded) {
  EvaluateOptions options = Range(40, 1040);
  options.block_bytes = 300;
  EXPECT_OK(Evaluate(options, 100));
  const EvaluateState whole = sink_->state;
  for (int64_t failing = 0; failing < 11; ++failing) {
    FakeEngine engine;
    engine.SetHook([failing](int64_t step) {
      return step == failing ? absl::InternalError("lost") : absl::OkStatus();
    });
    RecordingEvaluateSink first;
    EvaluateJob job(&symbols_, options, Reader(), &first, clock_.reader());
    EXPECT_THAT(Drive(&engine, &job, 100),
                StatusIs(absl::StatusCode::kInternal, "lost"));

    EvaluateOptions rest = options;
    rest.from = first.state;
    EXPECT_OK(Evaluate(rest, 90));

    EXPECT_EQ(sink_->state.total, whole.total) << failing;
    EXPECT_EQ(sink_->state.blocks, whole.blocks) << failing;
    EXPECT_EQ(first.scored + sink_->scored, data_.substr(40, 1000));
    EXPECT_GE(read_from_, WarmupStart(first.state.position, 3));
  }
}

TEST_F(EvaluateJobTest, AResumeReadsNoFurtherBackThanTheFirstRun) {
  EvaluateOptions options = Range(1000, 1200);
  options.warmup_bytes = 0;                // begins at 992
  options.receptive_field_bytes = 100000;  // sees all
  options.from.position = 1100;
  EXPECT_OK(Evaluate(options, 512));

  EXPECT_EQ(read_from_, 992);
}

TEST_F(EvaluateJobTest, AReadErrorEndsItWithItsStatus) {
  RecordingEvaluateSink sink;
  EvaluateJob job(
      &symbols_, Range(0, 100),
      [](int64_t, int64_t, std::string*) {
        return absl::DataLossError("the disk is gone");
      },
      &sink, clock_.reader());

  EXPECT_THAT(Drive(&engine_, &job, 10),
              StatusIs(absl::StatusCode::kDataLoss, "the disk is gone"));
  EXPECT_THAT(sink.status, StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(EvaluateJobTest, DataThatShrankIsDataLoss) {
  RecordingEvaluateSink sink;
  EvaluateJob job(&symbols_, Range(4900, 5100), Reader(), &sink,
                  clock_.reader());

  EXPECT_THAT(Drive(&engine_, &job, 64),
              StatusIs(absl::StatusCode::kDataLoss, "want"));
}

}  // namespace
}  // namespace spanlm
