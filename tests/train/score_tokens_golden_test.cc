// SPDX-License-Identifier: Apache-2.0
// score-tokens against the scores of the published programs: every family,
// every container, block and step form, every block size that the set names.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "train/commands/score_tokens.h"

namespace spanlm {
namespace {

// Tolerances of the set's README, nats (its bits for the mean).
constexpr double kOriginalBlocks = 1.5e-5;
constexpr double kOriginalRings = 3e-5;  // rings have no epsilon
constexpr double kFairseq = 1.5e-5;
constexpr double kFairseqHalf = 3e-5;
constexpr double kKimiyoung = 1.5e-5;
constexpr double kHuggingFace = 1e-4;
constexpr double kMeanBits = 1e-6;
constexpr double kMeanBitsHuggingFace = 2e-5;
// How far a mistake's effect may be from the figure given for it.
constexpr double kSensitivity = 1e-3;

absl::StatusOr<std::vector<float>> Score(const GoldenCase& c,
                                         const std::string& path,
                                         const std::vector<int64_t>& blocks) {
  const TempDir folder;
  ScoreTokensOptions options;
  options.model = GoldenPath(c.checkpoint);
  options.tokens = GoldenPath(c.tokens);
  options.rows = c.rows;
  options.blocks = blocks;
  options.path = path;
  options.threads = 1;
  options.out = folder.File("nll.f32");
  options.model_overrides = c.overrides;
  const absl::Status status = RunScoreTokens(options);
  if (!status.ok()) return status;
  return ReadFloats(options.out);
}

double Mean(const std::vector<float>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) /
         static_cast<double>(values.size());
}

double LargestDifference(const std::vector<float>& a,
                         const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(double{a[i]} - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN shows
  }
  return largest;
}

void ExpectReference(const GoldenCase& c, const std::string& path,
                     const std::vector<int64_t>& blocks,
                     double mean_tolerance) {
  SCOPED_TRACE(c.name + " by " + path + "s of " +
               ::testing::PrintToString(blocks));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> scores, Score(c, path, blocks));
  const double tolerance =
      path == "block" ? c.block_tolerance : c.step_tolerance;
  EXPECT_LE(LargestDifference(scores, ReadFloats(GoldenPath(c.nll))),
            tolerance);
  if (c.mean_bits > 0) {
    EXPECT_NEAR(Mean(scores) / std::log(2.0), c.mean_bits, mean_tolerance);
  }
}

void ExpectReferenceByBlocks(const std::vector<GoldenCase>& cases,
                             double mean_tolerance = kMeanBits) {
  if (cases.empty()) GTEST_SKIP() << "no checkpoint of it in this set";
  for (const GoldenCase& c : cases) {
    ExpectReference(c, "block", c.blocks, mean_tolerance);
  }
}

// The other block sizes of the first same-length evaluation.
void ExpectSameByOtherBlocks(const std::vector<GoldenCase>& cases,
                             double mean_tolerance = kMeanBits) {
  if (cases.empty()) GTEST_SKIP() << "no checkpoint of it in this set";
  for (const GoldenCase& c : cases) {
    if (c.same.empty()) continue;
    for (const std::vector<int64_t>& blocks : c.same) {
      ExpectReference(c, "block", blocks, mean_tolerance);
    }
    return;
  }
  FAIL() << "the set names no other block size";
}

void ExpectReferenceByStep(const std::vector<GoldenCase>& cases,
                           double mean_tolerance = kMeanBits) {
  if (cases.empty()) GTEST_SKIP() << "no checkpoint of it in this set";
  for (const GoldenCase& c : cases) {
    if (!c.same_length) {
      EXPECT_THAT(
          Score(c, "step", c.blocks),
          StatusIs(absl::StatusCode::kFailedPrecondition, "same_length"))
          << c.name;
      continue;
    }
    ExpectReference(c, "step", c.blocks, mean_tolerance);
  }
}

// In step form a block size changes no bit.
void ExpectOneResultByStep(const std::vector<GoldenCase>& cases) {
  const auto found =
      std::find_if(cases.begin(), cases.end(),
                   [](const auto& each) { return each.same_length; });
  if (found == cases.end()) GTEST_SKIP() << "no checkpoint of it in this set";
  const GoldenCase& c = *found;
  ASSERT_OK_AND_ASSIGN(const std::vector<float> expected,
                       Score(c, "step", c.blocks));
  for (const std::vector<int64_t>& blocks :
       {std::vector<int64_t>{1}, {16}, {5, 1, 64, 3, 130}, {100000}}) {
    ASSERT_OK_AND_ASSIGN(const std::vector<float> scores,
                         Score(c, "step", blocks));
    EXPECT_EQ(scores, expected)
        << c.name << " " << ::testing::PrintToString(blocks);
  }
}

void ExpectMistakeShows(const std::vector<GoldenCase>& cases,
                        const std::string& overrides, const char* mistake,
                        const std::string& family) {
  if (cases.empty()) GTEST_SKIP() << "no checkpoint of it in this set";
  GoldenCase c = cases.front();
  const double effect =
      GoldenJson(family + ".json")["sensitivity_max_abs_nll"][mistake];
  c.overrides = overrides;
  ASSERT_OK_AND_ASSIGN(const std::vector<float> scores,
                       Score(c, "block", c.blocks));
  EXPECT_NEAR(LargestDifference(scores, ReadFloats(GoldenPath(c.nll))), effect,
              kSensitivity)
      << mistake;
}

std::vector<GoldenCase> Original() {
  return AdaptiveSpanCases("adaptive_span_o", kOriginalBlocks, kOriginalRings);
}
std::vector<GoldenCase> Fairseq() {
  return AdaptiveSpanCases("adaptive_span_f", kFairseq, kFairseq);
}
std::vector<GoldenCase> FairseqHalf() {
  return AdaptiveSpanCases("adaptive_span_f_fp16", kFairseqHalf, kFairseqHalf);
}
std::vector<GoldenCase> Kimiyoung() {
  return TransformerXlCases("transformer_xl_k", "transformer_xl_k.tokens.u16",
                            ModelFiles(GoldenJson("transformer_xl_k.json")),
                            kKimiyoung);
}
std::vector<GoldenCase> FairseqTransformerXl() {
  return TransformerXlCases("transformer_xl_f", "transformer_xl_f.tokens.u16",
                            ModelFiles(GoldenJson("transformer_xl_f.json")),
                            kHuggingFace);
}
std::vector<GoldenCase> FairseqTransformerXlHalf() {
  return TransformerXlCases(
      "transformer_xl_f_fp16", "transformer_xl_f.tokens.u16",
      ModelFiles(GoldenJson("transformer_xl_f_fp16.json")), kHuggingFace);
}
std::vector<GoldenCase> HuggingFace() {
  return TransformerXlCases("transformer_xl_f", "transformer_xl_f.tokens.u16",
                            {"transformer_xl_hf"}, kHuggingFace);
}

TEST(ScoreTokensGoldenTest, OriginalByBlocks) {
  ExpectReferenceByBlocks(Original());
}
TEST(ScoreTokensGoldenTest, OriginalByOtherBlocks) {
  ExpectSameByOtherBlocks(Original());
}
TEST(ScoreTokensGoldenTest, OriginalByStep) {
  ExpectReferenceByStep(Original());
}
TEST(ScoreTokensGoldenTest, OriginalStepsAreOneResult) {
  ExpectOneResultByStep(Original());
}

TEST(ScoreTokensGoldenTest, FairseqByBlocks) {
  ExpectReferenceByBlocks(Fairseq());
}
TEST(ScoreTokensGoldenTest, FairseqByOtherBlocks) {
  ExpectSameByOtherBlocks(Fairseq());
}
TEST(ScoreTokensGoldenTest, FairseqByStep) { ExpectReferenceByStep(Fairseq()); }
TEST(ScoreTokensGoldenTest, FairseqStepsAreOneResult) {
  ExpectOneResultByStep(Fairseq());
}

TEST(ScoreTokensGoldenTest, FairseqHalfByBlocks) {
  ExpectReferenceByBlocks(FairseqHalf());
}
TEST(ScoreTokensGoldenTest, FairseqHalfByOtherBlocks) {
  ExpectSameByOtherBlocks(FairseqHalf());
}
TEST(ScoreTokensGoldenTest, FairseqHalfByStep) {
  ExpectReferenceByStep(FairseqHalf());
}

TEST(ScoreTokensGoldenTest, KimiyoungByBlocks) {
  ExpectReferenceByBlocks(Kimiyoung());
}
TEST(ScoreTokensGoldenTest, KimiyoungByOtherBlocks) {
  ExpectSameByOtherBlocks(Kimiyoung());
}
TEST(ScoreTokensGoldenTest, KimiyoungByStep) {
  ExpectReferenceByStep(Kimiyoung());
}
TEST(ScoreTokensGoldenTest, KimiyoungStepsAreOneResult) {
  ExpectOneResultByStep(Kimiyoung());
}

TEST(ScoreTokensGoldenTest, HuggingFaceStepsAreOneResult) {
  ExpectOneResultByStep(HuggingFace());
}
TEST(ScoreTokensGoldenTest, FairseqTransformerXlByBlocks) {
  ExpectReferenceByBlocks(FairseqTransformerXl(), kMeanBitsHuggingFace);
}
TEST(ScoreTokensGoldenTest, FairseqTransformerXlByOtherBlocks) {
  ExpectSameByOtherBlocks(FairseqTransformerXl(), kMeanBitsHuggingFace);
}
TEST(ScoreTokensGoldenTest, FairseqTransformerXlByStep) {
  ExpectReferenceByStep(FairseqTransformerXl(), kMeanBitsHuggingFace);
}
TEST(ScoreTokensGoldenTest, FairseqTransformerXlHalfByBlocks) {
  ExpectReferenceByBlocks(FairseqTransformerXlHalf(), kMeanBitsHuggingFace);
}
TEST(ScoreTokensGoldenTest, FairseqTransformerXlHalfByStep) {
  ExpectReferenceByStep(FairseqTransformerXlHalf(), kMeanBitsHuggingFace);
}
TEST(ScoreTokensGoldenTest, HuggingFaceByBlocks) {
  ExpectReferenceByBlocks(HuggingFace(), kMeanBitsHuggingFace);
}
TEST(ScoreTokensGoldenTest, HuggingFaceByOtherBlocks) {
  ExpectSameByOtherBlocks(HuggingFace(), kMeanBitsHuggingFace);
}
TEST(ScoreTokensGoldenTest, HuggingFaceByStep) {
  ExpectReferenceByStep(HuggingFace(), kMeanBitsHuggingFace);
}

TEST(ScoreTokensGoldenTest, MistakesShowAsMuchAsTheSetSays) {
  ExpectMistakeShows(Original(), "{'renormalize': False}",
                     "renormalisation left out", "adaptive_span_o");
  ExpectMistakeShows(Fairseq(), "{'renormalize': True}",
                     "renormalisation switched on", "adaptive_span_f");
  const int64_t span =
      GoldenJson("adaptive_span_f.json")["hyperparameters"]["attn_span"];
  ExpectMistakeShows(Fairseq(),
                     "{'block_rounding': " + std::to_string(span) + "}",
                     "no trimming (window = S)", "adaptive_span_f");
}

TEST(ScoreTokensGoldenTest, DefaultMaskDependsOnTheBlock) {
  const std::vector<GoldenCase> cases = Kimiyoung();
  const auto c = std::find_if(cases.begin(), cases.end(), [](const auto& each) {
    return !each.same_length;
  });
  ASSERT_NE(c, cases.end());

  ASSERT_OK_AND_ASSIGN(const std::vector<float> scores,
                       Score(*c, "block", {c->blocks.front() / 2}));

  EXPECT_GT(LargestDifference(scores, ReadFloats(GoldenPath(c->nll))), 0.5);
}

}  // namespace
}  // namespace spanlm
