// SPDX-License-Identifier: Apache-2.0
#include "train/commands/eval_lm.h"

#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/bits_total.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/golden_case.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/train/tiny_model.h"
#include "train/commands/score_tokens.h"
#include "train/raw_corpus_writer.h"

namespace spanlm {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// Bytes of every value, more of them than any window is long.
std::string Text(size_t size) {
  std::string text;
  uint32_t state = 12345;
  while (text.size() < size) {
    state = state * 1664525 + 1013904223;
    text.push_back(static_cast<char>(state >> 24));
  }
  return text;
}

class EvalLmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(WriteTinyModel(TinyAdaptiveSpan(), 1, folder_.File("model")));
    MakeCorpus(Text(700));
    options_.data = folder_.File("corpus");
    options_.path = folder_.File("model");
    options_.protocol = "full-stream";
    options_.json = true;
  }

  // All of `text` is the test part.
  void MakeCorpus(const std::string& text) {
    const std::string raw = folder_.Write("raw", text);
    ASSERT_OK(WriteRawCorpus(raw, folder_.File("corpus"),
                             {0, 0, static_cast<int64_t>(text.size())},
                             [](int64_t) {}));
  }

  absl::StatusOr<std::string> Run() {
    std::ostringstream out;
    const absl::Status status = RunEvalLm(options_, out);
    if (!status.ok()) return status;
    return out.str();
  }

  std::string Accumulator() {
    const absl::StatusOr<std::string> out = Run();
    EXPECT_OK(out);
    return out.ok()
               ? nlohmann::json::parse(*out)["accumulator"].get<std::string>()
               : "";
  }

  const TempDir folder_;
  EvalLmOptions options_;
};

TEST_F(EvalLmTest, PrintsTheContractsJson) {
  ASSERT_OK_AND_ASSIGN(const std::string out, Run());

  const auto json = nlohmann::json::parse(out);
  EXPECT_EQ(json.size(), 9U);
  EXPECT_EQ(json["protocol"], "full-stream");
  EXPECT_EQ(json["scored"], 700);
  EXPECT_EQ(json["positions"], 700);
  const double bits = json["total_bits"];
  EXPECT_GT(bits, 700.0);
  EXPECT_DOUBLE_EQ(json["bits_per_symbol"], bits / 700);
  EXPECT_DOUBLE_EQ(json["perplexity"], std::exp2(bits / 700));
  EXPECT_GE(json["seconds"].get<double>(), 0.0);
  ASSERT_OK_AND_ASSIGN(
      const BitsTotal total,
      BitsTotal::Parse(json["accumulator"].get<std::string>()));
  EXPECT_EQ(total.bits(), bits);
}

TEST_F(EvalLmTest, PrintsFairseqsTwoLines) {
  options_.json = false;
  MakeCorpus(Text(1234));

  ASSERT_OK_AND_ASSIGN(const std::string out, Run());

  EXPECT_THAT(out, MatchesRegex("Evaluated 1,234 tokens in [0-9]+\\.[0-9]s "
                                "\\([0-9]+\\.[0-9][0-9] tokens/s\\)\n"
                                "Loss \\(base 2\\): [0-9]+\\.[0-9]{4}, "
                                "Perplexity: [0-9]+\\.[0-9][0-9]\n"));
}

TEST_F(EvalLmTest, ChargesTheFirstByteEightBits) {
  MakeCorpus("x");

  EXPECT_EQ(Accumulator(), "34359738368");  // 8 · 2³²
}

TEST_F(EvalLmTest, IsTheSumOfScoreTokens) {
  const std::string text = Text(700);
  std::string tokens;
  for (const char byte : text) tokens += {byte, '\0'};
  ScoreTokensOptions scoring;
  scoring.model = options_.path;
  scoring.tokens = folder_.Write("tokens.u16", tokens);
  scoring.out = folder_.File("nll.f32");
  ASSERT_OK(RunScoreTokens(scoring));
  BitsTotal expected;
  expected.AddUniformBytes(1);
  for (const float nll : ReadFloats(scoring.out)) expected.Add(nll);

  EXPECT_EQ(Accumulator(), expected.ToString());
}

TEST_F(EvalLmTest, NoChunkSizeOrThreadCountChangesABit) {
  MakeCorpus(Text(200));
  for (const ModelFields& fields : {TinyAdaptiveSpan(), TinyTransformerXl()}) {
    ASSERT_OK(WriteTinyModel(fields, 2, options_.path));
    options_.threads = 1;
    options_.tokens_per_sample = 512;
    const std::string expected = Accumulator();

    for (const int64_t chunk : {1, 31, 32, 100, 4096}) {
      for (const int32_t threads : {1, 2, 3}) {
        options_.tokens_per_sample = chunk;
        options_.threads = threads;
        EXPECT_EQ(Accumulator(), expected)
            << chunk << " bytes a step, " << threads << " threads";
      }
    }
  }
}

TEST_F(EvalLmTest, DependsOnTheModelAndOnTheText) {
  const std::string first = Accumulator();
  MakeCorpus(Text(699) + "!");
  const std::string other_text = Accumulator();
  ASSERT_OK(WriteTinyModel(TinyAdaptiveSpan(), 3, options_.path));
  const std::string other_model = Accumulator();

  EXPECT_NE(first, other_text);
  EXPECT_NE(other_text, other_model);
}

TEST_F(EvalLmTest, PicksThePartByGenSubset) {
  const std::string raw = folder_.Write("raw", Text(100));
  ASSERT_OK(WriteRawCorpus(raw, folder_.File("corpus"), {60, 30, 10},
                           [](int64_t) {}));

  for (const auto& [subset, size] :
       {std::pair("train", 60), std::pair("valid", 30),
        std::pair("test", 10)}) {
    options_.gen_subsets = {subset};
    ASSERT_OK_AND_ASSIGN(const std::string out, Run());
    EXPECT_EQ(nlohmann::json::parse(out)["scored"], size);
  }
}

TEST_F(EvalLmTest, TakesTheNameOfAPtFileForItsModelDirectory) {
  const std::string expected = Accumulator();
  options_.path += ".pt";

  EXPECT_EQ(Accumulator(), expected);
}

TEST_F(EvalLmTest, EvaluatesSeveralPartsOneAfterTheOther) {
  const std::string raw = folder_.Write("raw", Text(100));
  ASSERT_OK(WriteRawCorpus(raw, folder_.File("corpus"), {60, 30, 10},
                           [](int64_t) {}));
  options_.gen_subsets = {"valid", "test"};

  ASSERT_OK_AND_ASSIGN(const std::string out, Run());

  std::istringstream lines(out);
  for (const auto& [subset, size] :
       {std::pair("valid", 30), std::pair("test", 10)}) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_EQ(nlohmann::json::parse(line)["gen_subset"], subset);
    EXPECT_EQ(nlohmann::json::parse(line)["scored"], size);
  }
}

// One row of blocks scores what the stream scores but for each block's first.
TEST_F(EvalLmTest, BlocksAgreeWithTheStream) {
  options_.protocol = "kimiyoung";
  options_.batch_size = 1;
  options_.tokens_per_sample = 64;
  for (const ModelFields& fields : {TinyAdaptiveSpan(), TinyTransformerXl()}) {
    ASSERT_OK(WriteTinyModel(fields, 2, options_.path));
    options_.protocol = "full-stream";
    ASSERT_OK_AND_ASSIGN(const std::string stream, Run());
    options_.protocol = "kimiyoung";
    ASSERT_OK_AND_ASSIGN(const std::string blocks, Run());
    // A stream's first byte costs 8 bits; a row's first is not scored.
    const double bits = nlohmann::json::parse(stream)["total_bits"];
    EXPECT_NEAR(nlohmann::json::parse(blocks)["total_bits"], bits - 8, 0.02);
    EXPECT_EQ(nlohmann::json::parse(blocks)["scored"], 699);
  }
}

TEST_F(EvalLmTest, RefusesAnUnknownProtocol) {
  options_.protocol = "perplexity";
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument,
                              "--protocol perplexity"));
}

TEST_F(EvalLmTest, RefusesBadFlagsAndNamesThem) {
  const EvalLmOptions good = options_;
  options_.gen_subsets = {"dev"};
  EXPECT_THAT(Run(),
              StatusIs(absl::StatusCode::kInvalidArgument, "--gen-subset dev"));
  options_ = good;
  options_.tokens_per_sample = 0;
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument,
                              "--tokens-per-sample 0"));
  options_ = good;
  options_.threads = -1;
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument, "threads"));
  options_ = good;
  options_.kv = "int8";
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kUnimplemented, "--kv int8"));
  options_ = good;
  options_.weights = "fp8";
  EXPECT_THAT(Run(),
              StatusIs(absl::StatusCode::kInvalidArgument, "--weights fp8"));
  options_ = good;
  options_.task = "translation";
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument, "--task"));
  options_ = good;
  options_.model_overrides = "{'no_such_field': 1}";
  EXPECT_THAT(Run(),
              StatusIs(absl::StatusCode::kInvalidArgument, "no_such_field"));
}

TEST_F(EvalLmTest, SaysWhatIsMissing) {
  const EvalLmOptions good = options_;
  options_.path = folder_.File("nothing");
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kNotFound, "nothing"));
  options_ = good;
  options_.data = folder_.File("nowhere");
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kNotFound, "nowhere"));
  options_ = good;
  MakeCorpus("");
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kFailedPrecondition,
                              "the test part is empty"));
}

TEST_F(EvalLmTest, RefusesATokenModel) {
  ModelFields fields = TinyAdaptiveSpan();
  fields.symbols.clear();
  fields.vocab_size = 40;
  ASSERT_OK(WriteTinyModel(fields, 1, options_.path));

  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(EvalLmTest, NamesAByteThatTheModelHasNoSymbolFor) {
  ModelFields fields = TinyAdaptiveSpan();
  fields.vocab_size = 2;
  fields.symbols = {uint8_t{'a'}, uint8_t{'b'}};
  ASSERT_OK(WriteTinyModel(fields, 1, options_.path));
  MakeCorpus("abac");

  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kFailedPrecondition, "99"));
}

}  // namespace
}  // namespace spanlm
