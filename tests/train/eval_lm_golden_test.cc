// SPDX-License-Identifier: Apache-2.0
// `eval-lm` under the published protocols, against what the published programs
// printed.
#include <ATen/Parallel.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/golden_case.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "train/commands/eval_lm.h"
#include "train/indexed_text.h"

namespace spanlm {
namespace {

using ::testing::HasSubstr;

constexpr double kLossTolerance = 2e-5;  // the sets', in bits
constexpr char kDictionary[] = "transformer_xl_f.dict.txt";
constexpr char kTokens[] = "transformer_xl_f.tokens.u16";

std::vector<uint16_t> ReadTokens(const std::string& name) {
  const std::string bytes = ReadFile(GoldenPath(name));
  std::vector<uint16_t> tokens(bytes.size() / sizeof(uint16_t));
  std::memcpy(tokens.data(), bytes.data(), bytes.size());
  return tokens;
}

class EvalLmGoldenTest : public ::testing::Test {
 protected:
  void SetUp() override { Use("transformer_xl_f"); }

  // Reads the model of that name.
  void Use(const std::string& model) {
    for (const std::string& name :
         {model + ".json", model + ".pt", std::string(kDictionary),
          std::string(kTokens)}) {
      if (!IsThere(name)) {
        GTEST_SKIP() << GoldenPath(name) << " is not here";
      }
    }
    at::set_num_threads(1);
    json_ = GoldenJson(model + ".json");
    options_.data = folder_.File("data-bin");
    options_.path = GoldenPath(model + ".pt");
    options_.tokens_per_sample = 80;
    options_.model_overrides =
        "{'mem_len':96,'clamp_len':40,'same_length':True}";
  }

  // A binary data directory whose test part is `tokens`, one line.
  void MakeDataBin(absl::Span<const uint16_t> tokens) {
    std::filesystem::create_directory(options_.data);
    std::filesystem::copy_file(
        GoldenPath(kDictionary), options_.data + "/dict.txt",
        std::filesystem::copy_options::overwrite_existing);
    for (const char* part : {"train", "valid", "test"}) {
      ASSERT_OK_AND_ASSIGN(
          const auto writer,
          IndexedTextWriter::Create(absl::StrCat(options_.data, "/", part)));
      const int32_t size = static_cast<int32_t>(tokens.size());
      ASSERT_OK(writer->Append(tokens, {size}));
      ASSERT_OK(writer->Finish());
    }
  }

  std::string Run() {
    std::ostringstream out;
    EXPECT_OK(RunEvalLm(options_, out));
    return out.str();
  }
  nlohmann::json RunJson() {
    options_.json = true;
    return nlohmann::json::parse(Run(), nullptr, false);
  }

  // −ln P of row `row` under the overrides, by float64.
  std::vector<double> Nats(int row) const {
    const std::string bytes =
        ReadFile(GoldenPath("transformer_xl_f.same_length_clamp.nll.f64"));
    std::vector<double> nats(bytes.size() / sizeof(double));
    std::memcpy(nats.data(), bytes.data(), bytes.size());
    const auto first = nats.begin() + row * static_cast<ptrdiff_t>(699);
    return std::vector<double>(first, first + 699);
  }

  const TempDir folder_;
  nlohmann::json json_;
  EvalLmOptions options_;
};

class EvalLmGoldenRunsTest : public EvalLmGoldenTest,
                             public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override { Use(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Models, EvalLmGoldenRunsTest,
                         ::testing::Values("transformer_xl_f",
                                           "transformer_xl_f_fp16"));

TEST_P(EvalLmGoldenRunsTest, PrintsWhatFairseqEvalLmPrints) {
  const std::vector<uint16_t> tokens = ReadTokens(kTokens);
  const absl::Span<const uint16_t> all = absl::MakeConstSpan(tokens);
  const absl::Span<const uint16_t> texts[] = {all, all, all.first(700),
                                              all.subspan(700)};
  const int64_t rows[] = {2, 1, 1, 1};
  const nlohmann::json& runs = json_["fairseq_eval_lm"]["runs"];
  ASSERT_EQ(runs.size(), 4U);
  for (size_t i = 0; i < runs.size(); ++i) {
    SCOPED_TRACE(runs[i]["data"].get<std::string>());
    ASSERT_NO_FATAL_FAILURE(MakeDataBin(texts[i]));
    options_.batch_size = rows[i];
    options_.json = false;
    const std::string out = Run();
    for (const nlohmann::json& line : runs[i]["printed"]) {
      // The lines as printed, but for the time taken.
      EXPECT_THAT(out, HasSubstr(line.get<std::string>()));
    }
    const nlohmann::json json = RunJson();
    EXPECT_EQ(json["scored"], runs[i]["scored_tokens"]);
    EXPECT_NEAR(json["bits_per_symbol"], runs[i]["loss_base2"].get<double>(),
                kLossTolerance);
  }
}

// The original code's plain mean of whole blocks' means and kimiyoung's mean
// over all positions, from the same vectors.
TEST_F(EvalLmGoldenTest, AveragesAsTheOtherProtocolsDo) {
  const std::vector<uint16_t> tokens = ReadTokens(kTokens);
  ASSERT_NO_FATAL_FAILURE(MakeDataBin(absl::MakeConstSpan(tokens).first(700)));
  const std::vector<double> nats = Nats(0);
  options_.batch_size = 1;
  double all = 0, whole_blocks = 0;
  for (size_t t = 0; t < nats.size(); ++t) {
    all += nats[t];
    if (t < 640) whole_blocks += nats[t];
  }
  options_.protocol = "kimiyoung";
  EXPECT_NEAR(RunJson()["bits_per_symbol"], all / 699 / M_LN2, kLossTolerance);
  options_.protocol = "original";
  const nlohmann::json original = RunJson();
  EXPECT_NEAR(original["bits_per_symbol"], whole_blocks / 640 / M_LN2,
              kLossTolerance);
  EXPECT_EQ(original["scored"], 640);
  options_.json = false;
  EXPECT_EQ(Run(),
            absl::StrCat(
                "test: ", absl::StrFormat("%.3f", whole_blocks / 640 / M_LN2),
                "bpc\n"));
}

TEST_F(EvalLmGoldenTest, WritesTheLossOfEveryScoredSymbolAtItsPlace) {
  const std::vector<uint16_t> tokens = ReadTokens(kTokens);
  ASSERT_NO_FATAL_FAILURE(MakeDataBin(absl::MakeConstSpan(tokens).first(700)));
  const std::vector<double> nats = Nats(0);
  options_.batch_size = 1;
  options_.output_losses = folder_.File("losses.f32");
  Run();
  const std::vector<float> losses = ReadFloats(options_.output_losses);
  ASSERT_EQ(losses.size(), 700U);
  for (size_t i = 0; i < losses.size(); ++i) {
    if (i % 80 == 0) {
      EXPECT_TRUE(std::isnan(losses[i])) << i;
    } else {
      EXPECT_NEAR(losses[i], nats[i - 1], 1e-4) << i;
    }
  }
}

}  // namespace
}  // namespace spanlm
