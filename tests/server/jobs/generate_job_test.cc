// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/generate_job.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/jobs/reason.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/job_driver.h"
#include "tests/fakes/recording_sinks.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

GenerateOptions MaxBytes(int64_t count) {
  GenerateOptions options;
  options.max_bytes = count;
  options.sampling.seed = 42;
  return options;
}

class GenerateJobTest : public testing::Test {
 protected:
  std::unique_ptr<GenerateJob> NewJob(absl::string_view prompt,
                                      const GenerateOptions& options,
                                      GenerateSink* sink) {
    return *GenerateJob::Create(&symbols_, prompt, options, sink,
                                clock_.reader());
  }

  // What comes of `prompt` when it is read in chunks of `chunk`.
  std::unique_ptr<RecordingGenerateSink> Generate(
      absl::string_view prompt, const GenerateOptions& options,
      int64_t chunk = 64) {
    auto sink = std::make_unique<RecordingGenerateSink>();
    const auto job = NewJob(prompt, options, sink.get());
    EXPECT_OK(Drive(&engine_, job.get(), chunk));
    EXPECT_OK(sink->status);
    EXPECT_EQ(sink->ended.count(), 1);
    return sink;
  }

  // The text that sampling by hand gives.
  std::string ByHand(const std::string& prompt, int64_t count, int64_t seed) {
    std::string text = prompt;
    SamplingOptions options;
    options.seed = seed;
    for (int64_t i = 0; i < count; ++i) {
      std::vector<float> before;
      if (!text.empty()) {
        std::vector<uint16_t> symbols;
        for (char c : text) symbols.push_back(static_cast<uint8_t>(c));
        before = engine_.LogProbsAfter(symbols);
      }
      text.push_back(static_cast<char>(
          SampleByte(symbols_.ByteLogProbs(before), {}, options,
                     static_cast<int64_t>(text.size()))
              .byte));
    }
    return text.substr(prompt.size());
  }

  FakeClock clock_;
  FakeEngine engine_;
  const SymbolMap symbols_ = *SymbolMap::Create(engine_.config());
};

TEST_F(GenerateJobTest, HoldsItsPromptAndItsStops) {
  const std::string prompt(1000, 'p');
  RecordingGenerateSink sink;
  GenerateOptions options = MaxBytes(1);
  const int64_t without = NewJob(prompt, options, &sink)->held_bytes();
  for (int i = 0; i < 16; ++i) {
    options.stops.emplace_back(256, static_cast<char>(i));
  }

  EXPECT_GE(without, 1000);
  EXPECT_GE(NewJob(prompt, options, &sink)->held_bytes(), without + 16 * 256);
}

TEST_F(GenerateJobTest, DrawsEachByteByItsPositionInTheText) {
  const auto sink = Generate("Once upon", MaxBytes(20));

  EXPECT_EQ(sink->text, ByHand("Once upon", 20, 42));
  EXPECT_EQ(sink->summary.reason, FinishReason::kMaxBytes);
  EXPECT_EQ(sink->summary.usage.read, 9);
  EXPECT_EQ(sink->summary.usage.generated, 20);
  EXPECT_EQ(sink->pieces.back().position, 29);
}

TEST_F(GenerateJobTest, DoesNotDependOnThePromptsChunks) {
  const std::string text = Generate("Once upon a time", MaxBytes(30))->text;
  for (const int64_t chunk : {1, 3, 7, 16}) {
    EXPECT_EQ(Generate("Once upon a time", MaxBytes(30), chunk)->text, text);
  }
}

TEST_F(GenerateJobTest, DrawsTheFirstByteOfAnEmptyPromptWithoutAStep) {
  const auto sink = Generate("", MaxBytes(1));

  EXPECT_EQ(sink->text, ByHand("", 1, 42));
  EXPECT_TRUE(engine_.steps().empty());
  EXPECT_EQ(Generate("", MaxBytes(12))->text, ByHand("", 12, 42));
}

TEST_F(GenerateJobTest, DoesNotReadTheLastByte) {
  Generate("ab", MaxBytes(3));

  const std::vector<FakeStep> steps = engine_.steps();
  ASSERT_EQ(steps.size(), 3u);  // "ab", first, second
  EXPECT_EQ(steps[0][0].symbols, 2);
  EXPECT_EQ(steps[2][0].symbols, 1);
}

TEST_F(GenerateJobTest, ReturnsTheModelsLogProbabilitiesOfItsBytes) {
  GenerateOptions options = MaxBytes(15);
  options.log_probs = true;
  options.sampling_log_probs = true;
  options.top_count = 4;
  options.sampling.temperature = 0.5F;
  const auto sink = Generate("The", options);

  const std::string text = "The" + sink->text;
  ASSERT_EQ(sink->pieces.size(), 15u);
  for (size_t i = 0; i < 15; ++i) {
    const GeneratedBytes& piece = sink->pieces[i];
    ASSERT_EQ(piece.log_probs.size(), 1u);
    EXPECT_EQ(piece.log_probs[0], FakeLogProb(engine_, text, 3 + i));
    ASSERT_EQ(piece.sampling_log_probs.size(), 1u);
    EXPECT_NE(piece.sampling_log_probs[0], piece.log_probs[0]);
    ASSERT_EQ(piece.tops.size(), 1u);
    EXPECT_EQ(piece.tops[0].bytes.size(), 4u);
    EXPECT_EQ(piece.position, static_cast<int64_t>(4 + i));
  }
}

TEST_F(GenerateJobTest, ReturnsNoScoresUnlessAsked) {
  const auto sink = Generate("The", MaxBytes(2));

  EXPECT_TRUE(sink->pieces[0].log_probs.empty());
  EXPECT_TRUE(sink->pieces[0].sampling_log_probs.empty());
  EXPECT_TRUE(sink->pieces[0].tops.empty());
}

// Every stop sequence cut out of a known text, of every size: nothing of it
// leaks, nothing before it is lost.
TEST_F(GenerateJobTest, StopsAtEverySequenceWithoutLeakingAByteOfIt) {
  constexpr int64_t kLength = 24;
  const std::string text = ByHand("seed", kLength, 42);
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (size_t size = 1; begin + size <= text.size(); ++size) {
      GenerateOptions options = MaxBytes(kLength);
      options.stops = {text.substr(begin, size)};
      const size_t found = text.find(options.stops[0]);
      const auto sink = Generate("seed", options);

      ASSERT_EQ(sink->text, text.substr(0, found)) << begin << ' ' << size;
      ASSERT_EQ(sink->summary.reason, FinishReason::kStopSequence);
      ASSERT_EQ(sink->summary.stop_sequence, options.stops[0]);
      ASSERT_EQ(sink->summary.usage.generated,
                static_cast<int64_t>(found + size));
    }
  }
}

TEST_F(GenerateJobTest, HandsBytesOverAsSoonAsTheyCannotBeginAStop) {
  const std::string text = ByHand("seed", 8, 42);
  GenerateOptions options = MaxBytes(8);
  options.log_probs = true;
  // Begins at byte 2 but is not completed: byte 4 differs.
  options.stops = {text.substr(2, 2) + static_cast<char>(text[4] + 1)};
  const auto sink = Generate("seed", options);

  EXPECT_EQ(sink->text, text);
  std::vector<std::string> pieces;
  for (const GeneratedBytes& piece : sink->pieces) {
    pieces.push_back(piece.bytes);
    EXPECT_EQ(piece.log_probs.size(), piece.bytes.size());
  }
  EXPECT_EQ(pieces,
            (std::vector<std::string>{text.substr(0, 1), text.substr(1, 1),
                                      text.substr(2, 3), text.substr(5, 1),
                                      text.substr(6, 1), text.substr(7, 1)}));
}

TEST_F(GenerateJobTest, FlushesAHeldBackBeginningAtTheEnd) {
  const std::string text = ByHand("seed", 5, 42);
  GenerateOptions options = MaxBytes(5);
  options.stops = {text.substr(2, 3) + "never"};

  EXPECT_EQ(Generate("seed", options)->text, text);
}

TEST_F(GenerateJobTest, IncludesTheStopIfAsked) {
  const std::string text = ByHand("seed", 10, 42);
  GenerateOptions options = MaxBytes(10);
  options.stops = {text.substr(3, 4)};
  options.include_stop = true;

  EXPECT_EQ(Generate("seed", options)->text, text.substr(0, 7));
}

TEST_F(GenerateJobTest, StopsCountInGeneratedBytesOnly) {
  const std::string text = ByHand("seed", 4, 42);
  GenerateOptions options = MaxBytes(4);
  options.stops = {"d" + text.substr(0, 1)};  // straddles the prompt's end

  EXPECT_EQ(Generate("seed", options)->summary.reason, FinishReason::kMaxBytes);
}

TEST_F(GenerateJobTest, EndsAtMaxDurationWithoutAnError) {
  GenerateOptions options = MaxBytes(1000);
  options.max_duration = absl::Seconds(10);
  engine_.SetHook([this](int64_t) {
    clock_.Advance(absl::Seconds(1));
    return absl::OkStatus();
  });
  const auto sink = Generate("x", options);

  EXPECT_EQ(sink->summary.reason, FinishReason::kMaxDuration);
  EXPECT_EQ(sink->text, ByHand("x", 10, 42));
}

TEST_F(GenerateJobTest, PausesWhileItsSinkHasNoRoom) {
  RecordingGenerateSink sink;
  const auto job = NewJob("", MaxBytes(10), &sink);
  EXPECT_EQ(job->Ready().symbols, 1);
  sink.room = false;

  const Work paused = job->Ready();

  EXPECT_EQ(paused.phase, Phase::kDecode);
  EXPECT_EQ(paused.symbols, 0);
  EXPECT_FALSE(job->done());
  sink.room = true;
  EXPECT_EQ(job->Ready().symbols, 1);
}

TEST_F(GenerateJobTest, DecodesAfterThePrompt) {
  RecordingGenerateSink sink;
  const auto job = NewJob("prompt", MaxBytes(10), &sink);

  EXPECT_EQ(job->Ready().phase, Phase::kPrefill);
  EXPECT_EQ(job->Ready().symbols, 6);
}

TEST_F(GenerateJobTest, ThePenaltySeesThePromptAndWhatCameSince) {
  GenerateOptions options = MaxBytes(40);
  options.sampling.temperature = 0;
  options.sampling.repetition_penalty = std::numeric_limits<float>::max();
  options.sampling.repetition_window_bytes = 8;
  const std::string prompt = "abcdefgh";
  const std::string text = prompt + Generate(prompt, options)->text;

  for (size_t i = prompt.size(); i < text.size(); ++i) {
    EXPECT_EQ(text.substr(i - 8, 8).find(text[i]), std::string::npos) << i;
  }
}

TEST_F(GenerateJobTest, RefusesSamplingOutOfBoundsAndUnreadablePrompts) {
  RecordingGenerateSink sink;
  GenerateOptions options = MaxBytes(1);
  options.sampling.top_p = 0;
  EXPECT_THAT(
      GenerateJob::Create(&symbols_, "", options, &sink, clock_.reader()),
      StatusIs(absl::StatusCode::kInvalidArgument, "top_p"));

  FakeEngineOptions letters;
  letters.symbols = {'a', 'b', std::nullopt};
  const FakeEngine engine(letters);
  const SymbolMap symbols = *SymbolMap::Create(engine.config());
  EXPECT_THAT(
      GenerateJob::Create(&symbols, "abc", MaxBytes(1), &sink, clock_.reader()),
      StatusIs(absl::StatusCode::kInvalidArgument, "prompt: byte 99"));
}

TEST_F(GenerateJobTest, DrawsOnlyBytesThatTheModelCanRead) {
  FakeEngineOptions letters;
  letters.symbols = {'a', 'b', std::nullopt};
  FakeEngine engine(letters);
  const SymbolMap symbols = *SymbolMap::Create(engine.config());
  for (int64_t seed = 0; seed < 20; ++seed) {
    RecordingGenerateSink sink;
    GenerateOptions options = MaxBytes(30);
    options.sampling.seed = seed;
    const auto job =
        *GenerateJob::Create(&symbols, "", options, &sink, clock_.reader());
    EXPECT_OK(Drive(&engine, job.get(), 8));
    EXPECT_EQ(sink.text.find_first_not_of("ab"), std::string::npos);
  }
}

TEST_F(GenerateJobTest, ADistributionThatIsNoneIsAnErrorWithAReason) {
  RecordingGenerateSink sink;
  const auto job = NewJob("x", MaxBytes(3), &sink);
  ASSERT_OK_AND_ASSIGN(SpanCache cache, engine_.NewCache());
  ASSERT_OK(job->Next(1));
  std::vector<float> log_probs(256, -5);
  log_probs[17] = std::nanf("");
  cache.Advance(1, log_probs);

  const absl::Status status = job->Consume({}, cache).status();

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(ReasonOf(status), kReasonNan);
}

}  // namespace
}  // namespace spanlm
