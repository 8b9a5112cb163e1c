// SPDX-License-Identifier: Apache-2.0
#include "train/commands/score_tokens.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/train/tiny_model.h"
#include "train/score_tokens.h"

namespace spanlm {
namespace {

using ::testing::Each;
using ::testing::Gt;

// Block form in float32 against step form in float32, two layers.
constexpr float kForms = 2e-5F;

// Little-endian uint16.
std::string Tokens(size_t count, uint32_t seed) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525 + 1013904223;
    bytes += {static_cast<char>(seed >> 24), '\0'};
  }
  return bytes;
}

class ScoreTokensTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.model = folder_.File("model");
    options_.tokens = folder_.Write("tokens.u16", Tokens(3 * 200, 1));
    options_.rows = 3;
    options_.threads = 1;
    options_.out = folder_.File("nll.f32");
    ASSERT_OK(WriteTinyModel(TinyAdaptiveSpan(), 1, options_.model));
  }

  absl::StatusOr<std::vector<float>> Run() {
    const absl::Status status = RunScoreTokens(options_);
    if (!status.ok()) return status;
    return ReadFloats(options_.out);
  }

  const TempDir folder_;
  ScoreTokensOptions options_;
};

TEST_F(ScoreTokensTest, WritesOneScoreForEachTokenButARowsFirst) {
  for (const char* path : {"block", "step"}) {
    options_.path = path;
    ASSERT_OK_AND_ASSIGN(const std::vector<float> scores, Run());

    EXPECT_EQ(scores.size(), 3U * 199U);
    EXPECT_THAT(scores, Each(Gt(0.0F)));
  }
}

TEST_F(ScoreTokensTest, BlockAndStepFormAgree) {
  for (const ModelFields& fields : {TinyAdaptiveSpan(), TinyTransformerXl()}) {
    ASSERT_OK(WriteTinyModel(fields, 2, options_.model));
    options_.path = "block";
    options_.blocks = {37};
    ASSERT_OK_AND_ASSIGN(const std::vector<float> by_blocks, Run());
    options_.path = "step";
    ASSERT_OK_AND_ASSIGN(const std::vector<float> by_steps, Run());

    ASSERT_EQ(by_blocks.size(), by_steps.size());
    for (size_t i = 0; i < by_blocks.size(); ++i) {
      ASSERT_NEAR(by_blocks[i], by_steps[i], kForms) << i;
    }
  }
}

TEST_F(ScoreTokensTest, ARowsScoresDoNotDependOnTheOtherRows) {
  const std::string bytes = ReadFile(options_.tokens);
  ASSERT_OK_AND_ASSIGN(const std::vector<float> together, Run());

  std::vector<float> alone;
  options_.rows = 1;
  for (size_t row = 0; row < 3; ++row) {
    options_.tokens = folder_.Write("row.u16", bytes.substr(row * 400, 400));
    ASSERT_OK_AND_ASSIGN(const std::vector<float> scores, Run());
    alone.insert(alone.end(), scores.begin(), scores.end());
  }

  EXPECT_EQ(together, alone);
}

TEST_F(ScoreTokensTest, ARowsLastTokenChangesItsLastScoreOnly) {
  ASSERT_OK_AND_ASSIGN(const std::vector<float> before, Run());
  std::string bytes = ReadFile(options_.tokens);
  bytes[398] = static_cast<char>(bytes[398] ^ 1);  // row 0, token 199
  options_.tokens = folder_.Write("other.u16", bytes);

  ASSERT_OK_AND_ASSIGN(const std::vector<float> after, Run());

  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i] == after[i], i != 198) << i;
  }
}

TEST_F(ScoreTokensTest, AppliesModelOverrides) {
  ASSERT_OK(WriteTinyModel(TinyTransformerXl(), 1, options_.model));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> before, Run());
  options_.model_overrides = "{'mem_len': 9}";

  ASSERT_OK_AND_ASSIGN(const std::vector<float> after, Run());

  EXPECT_NE(before, after);
  EXPECT_EQ(before.size(), after.size());
}

TEST_F(ScoreTokensTest, RefusesBadFlagsAndNamesThem) {
  const ScoreTokensOptions good = options_;
  const auto expect = [&](absl::StatusCode code, const char* part) {
    EXPECT_THAT(Run(), StatusIs(code, part));
    options_ = good;
  };
  options_.path = "both";
  expect(absl::StatusCode::kInvalidArgument, "--path both");
  options_.blocks = {4, 0};
  expect(absl::StatusCode::kInvalidArgument, "--block 0");
  options_.rows = 0;
  expect(absl::StatusCode::kInvalidArgument, "--rows 0");
  options_.threads = -2;
  expect(absl::StatusCode::kInvalidArgument, "--threads -2");
  options_.weights = "bf16";
  expect(absl::StatusCode::kUnimplemented, "--weights bf16");
  options_.kv = "fp16";
  expect(absl::StatusCode::kInvalidArgument, "--kv fp16");
  options_.model_overrides = "{mem_len: 3}";
  expect(absl::StatusCode::kInvalidArgument, "--model-overrides");
}

TEST_F(ScoreTokensTest, SaysWhatIsWrongWithTheTokens) {
  const std::string bytes = ReadFile(options_.tokens);
  options_.tokens = folder_.File("nowhere.u16");
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kNotFound, "nowhere.u16"));
  options_.tokens = folder_.path();
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kNotFound));
  options_.tokens = folder_.Write("odd.u16", bytes.substr(1));
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kDataLoss,
                              "1199 bytes are not 3 rows"));
  options_.tokens = folder_.Write("short.u16", bytes.substr(0, 6));
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kDataLoss, "at least 2 a row"));
  std::string large = bytes;
  large[405] = 1;  // row 1, token 2: 256 more
  options_.tokens = folder_.Write("large.u16", large);
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kDataLoss, "row 1, place 2"));
}

TEST_F(ScoreTokensTest, SaysWhereItCannotWrite) {
  options_.out = folder_.File("no/such/folder/nll.f32");

  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kUnavailable,
                              "no/such/folder/nll.f32"));
}

TEST_F(ScoreTokensTest, RefusesTheDefaultMaskByStepAndSaysWhatToDo) {
  ModelFields fields = TinyTransformerXl();
  fields.same_length = false;
  ASSERT_OK(WriteTinyModel(fields, 1, options_.model));

  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kFailedPrecondition,
                              "--set same_length=true"));
  options_.path = "block";
  EXPECT_OK(Run());
}

}  // namespace
}  // namespace spanlm
