// SPDX-License-Identifier: Apache-2.0
// The step form against what the published programs computed (the vectors'
// README says how they were made and how far apart two programs may be).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/strip.h"
#include "engine/checkpoint/import/import.h"
#include "engine/runtime/cpu_engine.h"
#include "gtest/gtest.h"
#include "tests/support/engine_reader.h"
#include "tests/support/golden_case.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

// Which evaluation of which checkpoint; the rest is in the family's .json.
struct StepCase {
  std::string name;
  std::string family;
  std::string checkpoint;
  std::string evaluation;  // Transformer-XL's; empty: the only one
  double tolerance = 0;    // nats
};

void PrintTo(const StepCase& step, std::ostream* os) { *os << step.name; }

std::vector<StepCase> Cases() {
  const std::string k = "transformer_xl_k", f = "transformer_xl_f";
  const std::string half = f + "_fp16", clamp = "same_length_clamp";
  return {
      {"original", "adaptive_span_o", "adaptive_span_o.pt", "", 3e-5},
      {"fairseq", "adaptive_span_f", "adaptive_span_f.pt", "", 1.5e-5},
      {"fairseq_fp16", "adaptive_span_f_fp16", "adaptive_span_f_fp16.pt", "",
       3e-5},
      {"kimiyoung", k, k + "_legacy.pt", "same_length", 1.5e-5},
      {"kimiyoung_noclamp", k, k + "_legacy.pt", "same_length_noclamp", 1.5e-5},
      {"kimiyoung_zip", k, k + ".pt", "same_length", 1.5e-5},
      {"fairseq_xl", f, f + ".pt", clamp, 1e-4},
      {"fairseq_xl_fp16", half, half + ".pt", clamp, 1e-4},
      {"huggingface", f, "transformer_xl_hf", clamp, 1e-4},
      {"huggingface_noclamp", f, "transformer_xl_hf", "same_length_noclamp",
       1e-4},
  };
}

GoldenCase Find(const StepCase& step) {
  if (step.evaluation.empty()) {
    return AdaptiveSpanCases(step.family, 0, step.tolerance).front();
  }
  const std::string nll = step.family + "." + step.evaluation + ".nll.f32";
  // The half checkpoint reads the tokens of the other.
  const std::string tokens(absl::StripSuffix(step.family, "_fp16"));
  for (const GoldenCase& golden :
       TransformerXlCases(step.family, tokens + ".tokens.u16",
                          {step.checkpoint}, step.tolerance)) {
    if (golden.nll == nll) return golden;
  }
  ADD_FAILURE() << step.family << ".json holds no evaluation " << nll;
  return {};
}

std::vector<uint16_t> ReadTokens(const std::string& name) {
  const std::string bytes = ReadFile(GoldenPath(name));
  std::vector<uint16_t> tokens(bytes.size() / sizeof(uint16_t));
  std::memcpy(tokens.data(), bytes.data(), tokens.size() * sizeof(uint16_t));
  return tokens;
}

class StepGoldenTest : public testing::TestWithParam<StepCase> {
 protected:
  void SetUp() override {
    const std::string source = GoldenPath(GetParam().checkpoint);
    if (!std::filesystem::exists(source)) {
      GTEST_SKIP() << source << " is not here";
    }
    golden_ = Find(GetParam());
    ImportOptions import;
    import.settings = golden_.settings;
    ASSERT_OK_AND_ASSIGN(ModelContents contents, ImportModel(source, import));
    ASSERT_OK_AND_ASSIGN(const ModelConfig config,
                         ModelConfig::Create(contents.fields));
    EngineOptions options;
    options.threads = 2;
    options.state_budget_bytes = 256 << 20;
    options.max_step_symbols = 8192;
    ASSERT_OK_AND_ASSIGN(
        engine_,
        CpuEngine::Create(config, MemoryTensors(std::move(contents.tensors)),
                          {}, options));
    tokens_ = ReadTokens(golden_.tokens);
    nll_ = ReadFloats(GoldenPath(golden_.nll));
    ASSERT_EQ(nll_.size(), tokens_.size() - golden_.rows);
    ASSERT_GT(golden_.rows, 0);
  }

  // All rows in one batch, in chunks of `sizes`: [rows][scored * vocab_size].
  std::vector<std::vector<float>> Read(const std::vector<size_t>& sizes) {
    const size_t count_of_rows = golden_.rows;
    const size_t row_tokens = tokens_.size() / count_of_rows;
    std::vector<SpanCache> caches;
    std::vector<std::vector<float>> rows(count_of_rows);
    for (size_t row = 0; row < count_of_rows; ++row) {
      caches.push_back(*engine_->NewCache());
    }
    for (size_t done = 0, i = 0; done + 1 < row_tokens; ++i) {
      const size_t count =
          std::min(sizes[i % sizes.size()], row_tokens - 1 - done);
      Batch batch;
      for (size_t row = 0; row < count_of_rows; ++row) {
        batch.push_back({&caches[row],
                         {tokens_.data() + row * row_tokens + done, count},
                         Want::kAll});
      }
      absl::StatusOr<StepResult> result = engine_->Step(batch);
      EXPECT_TRUE(result.ok()) << result.status();
      if (!result.ok()) return {};
      for (size_t row = 0; row < count_of_rows; ++row) {
        const std::vector<float>& part = (*result)[row].log_probs;
        rows[row].insert(rows[row].end(), part.begin(), part.end());
      }
      done += count;
    }
    return rows;
  }

  void ExpectScores(const std::vector<std::vector<float>>& rows) const {
    const size_t scored = nll_.size() / golden_.rows;
    const size_t width = engine_->config()->vocab_size;
    double largest = 0;
    for (size_t row = 0; row < rows.size(); ++row) {
      ASSERT_EQ(rows[row].size(), scored * width);
      for (size_t t = 0; t < scored; ++t) {
        const uint16_t target = tokens_[row * (scored + 1) + t + 1];
        largest = std::max<double>(
            largest,
            std::abs(-rows[row][t * width + target] - nll_[row * scored + t]));
      }
    }
    EXPECT_LE(largest, GetParam().tolerance);
    RecordProperty("largest_difference", std::to_string(largest));
  }

  std::unique_ptr<CpuEngine> engine_;
  GoldenCase golden_;
  std::vector<uint16_t> tokens_;  // [rows, tokens]
  std::vector<float> nll_;        // [rows, tokens - 1]
};

TEST_P(StepGoldenTest, ScoresAreThoseOfThePublishedProgramHoweverCut) {
  const std::vector<std::vector<float>> rows = Read({64});
  ExpectScores(rows);

  EXPECT_EQ(rows, Read({5, 1, 64, 3, 130}));
  EXPECT_EQ(rows, Read({4000}));
}

TEST_P(StepGoldenTest, ScoresAreThoseOfThePublishedProgramSymbolBySymbol) {
  ExpectScores(Read({1}));
}

TEST_P(StepGoldenTest, DistributionsAreThoseOfThePublishedProgram) {
  if (golden_.logp.empty()) GTEST_SKIP() << "no .logp.f32 is stored";
  const std::vector<float> expected = ReadFloats(GoldenPath(golden_.logp));
  const size_t width = engine_->config()->vocab_size;
  ASSERT_EQ(expected.size(),
            golden_.rows * golden_.logp_positions.size() * width);

  const std::vector<std::vector<float>> rows = Read({64});

  size_t i = 0;
  for (const std::vector<float>& row : rows) {
    for (const size_t position : golden_.logp_positions) {
      for (size_t symbol = 0; symbol < width; ++symbol, ++i) {
        ASSERT_NEAR(row[position * width + symbol], expected[i],
                    GetParam().tolerance)
            << "position " << position << " symbol " << symbol;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, StepGoldenTest, testing::ValuesIn(Cases()),
                         [](const testing::TestParamInfo<StepCase>& info) {
                           return info.param.name;
                         });

}  // namespace
}  // namespace spanlm
