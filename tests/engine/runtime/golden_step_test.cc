// SPDX-License-Identifier: Apache-2.0
// The step form against what the published programs computed (the vectors'
// README says how they were made and how far apart two programs may be).
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "engine/checkpoint/import/import.h"
#include "engine/runtime/cpu_engine.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/engine_reader.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

struct GoldenCase {
  std::string name;
  std::string source;      // checkpoint file or folder
  std::string dictionary;  // of fairseq's checkpoints
  std::string tokens;      // family whose tokens are read
  std::string expected;    // prefix of the .nll.f32 and .logp.f32 files
  std::map<std::string, std::string> settings;
  double tolerance = 0;  // nats
  bool has_distributions = true;
};

void PrintTo(const GoldenCase& golden, std::ostream* os) { *os << golden.name; }

std::string GoldenFile(const std::string& name) {
  const char* dir = std::getenv("SPANLM_GOLDEN_DIR");
  return std::string(dir == nullptr ? SPANLM_TESTDATA_DIR "/golden" : dir) +
         "/" + name;
}

template <typename Value>
std::vector<Value> ReadValues(const std::string& name) {
  const std::string bytes = ReadFile(GoldenFile(name));
  std::vector<Value> values(bytes.size() / sizeof(Value));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(Value));
  return values;
}

std::map<std::string, std::string> SameLength(const std::string& mem_len,
                                              const std::string& clamp_len) {
  return {
      {"same_length", "true"}, {"mem_len", mem_len}, {"clamp_len", clamp_len}};
}

std::vector<GoldenCase> Cases() {
  const std::string f_dict = "adaptive_span_f.dict.txt";
  const std::string xl_dict = "transformer_xl_f.dict.txt";
  const std::string f = "transformer_xl_f";
  const std::string k = "transformer_xl_k";
  return {
      {"original",
       "adaptive_span_o.pt",
       "",
       "adaptive_span_o",
       "adaptive_span_o",
       {},
       3e-5},
      {"fairseq",
       "adaptive_span_f.pt",
       f_dict,
       "adaptive_span_f",
       "adaptive_span_f",
       {},
       1.5e-5},
      {"fairseq_fp16",
       "adaptive_span_f_fp16.pt",
       f_dict,
       "adaptive_span_f_fp16",
       "adaptive_span_f_fp16",
       {},
       3e-5},
      {"kimiyoung", k + "_legacy.pt", "", k, k + ".same_length",
       SameLength("96", "40"), 1.5e-5, false},
      {"kimiyoung_noclamp", k + "_legacy.pt", "", k, k + ".same_length_noclamp",
       SameLength("96", "-1"), 1.5e-5, false},
      {"kimiyoung_zip", k + ".pt", "", k, k + ".same_length",
       SameLength("96", "40"), 1.5e-5, false},
      {"fairseq_xl", f + ".pt", xl_dict, f, f + ".same_length_clamp",
       SameLength("96", "40"), 1e-4},
      {"fairseq_xl_fp16", f + "_fp16.pt", xl_dict, f,
       f + "_fp16.same_length_clamp", SameLength("96", "40"), 1e-4},
      {"huggingface", "transformer_xl_hf", "", f, f + ".same_length_clamp",
       SameLength("96", "40"), 1e-4},
      {"huggingface_noclamp", "transformer_xl_hf", "", f,
       f + ".same_length_noclamp", SameLength("32", "-1"), 1e-4},
  };
}

class StepGoldenTest : public testing::TestWithParam<GoldenCase> {
 protected:
  void SetUp() override {
    const GoldenCase& golden = GetParam();
    if (!std::filesystem::exists(GoldenFile(golden.source))) {
      GTEST_SKIP() << GoldenFile(golden.source) << " is not here";
    }
    ImportOptions import;
    if (!golden.dictionary.empty()) {
      import.dictionary_path = GoldenFile(golden.dictionary);
    }
    import.settings = golden.settings;
    ASSERT_OK_AND_ASSIGN(ModelContents contents,
                         ImportModel(GoldenFile(golden.source), import));
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
    tokens_ = ReadValues<uint16_t>(golden.tokens + ".tokens.u16");
    nll_ = ReadValues<float>(golden.expected + ".nll.f32");
    ASSERT_GT(nll_.size(), 0U);
    std::ifstream file(GoldenFile(golden.tokens + ".json"));
    json_ = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  }

  // Both rows in one batch, in chunks of `sizes`: [rows][scored * vocab_size].
  std::vector<std::vector<float>> Read(const std::vector<size_t>& sizes) {
    const size_t row_tokens = tokens_.size() / 2;
    std::vector<SpanCache> caches;
    std::vector<std::vector<float>> rows(2);
    for (int row = 0; row < 2; ++row) caches.push_back(*engine_->NewCache());
    for (size_t done = 0, i = 0; done + 1 < row_tokens; ++i) {
      const size_t count =
          std::min(sizes[i % sizes.size()], row_tokens - 1 - done);
      Batch batch;
      for (int row = 0; row < 2; ++row) {
        batch.push_back({&caches[row],
                         {tokens_.data() + row * row_tokens + done, count},
                         Want::kAll});
      }
      absl::StatusOr<StepResult> result = engine_->Step(batch);
      EXPECT_TRUE(result.ok()) << result.status();
      if (!result.ok()) return {};
      for (int row = 0; row < 2; ++row) {
        const std::vector<float>& part = (*result)[row].log_probs;
        rows[row].insert(rows[row].end(), part.begin(), part.end());
      }
      done += count;
    }
    return rows;
  }

  void ExpectScores(const std::vector<std::vector<float>>& rows) const {
    const size_t scored = nll_.size() / 2;
    const size_t width = engine_->config()->vocab_size;
    double largest = 0;
    for (size_t row = 0; row < 2; ++row) {
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
  std::vector<uint16_t> tokens_;  // [2, tokens]
  std::vector<float> nll_;        // [2, tokens - 1]
  nlohmann::json json_;
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
  if (!GetParam().has_distributions) GTEST_SKIP() << "no .logp.f32 is stored";
  const std::vector<float> expected =
      ReadValues<float>(GetParam().expected + ".logp.f32");
  const std::vector<size_t> positions =
      json_["evaluation"]["logp_positions"].get<std::vector<size_t>>();
  const size_t width = engine_->config()->vocab_size;
  ASSERT_EQ(expected.size(), 2 * positions.size() * width);

  const std::vector<std::vector<float>> rows = Read({64});

  size_t i = 0;
  for (const std::vector<float>& row : rows) {
    for (const size_t position : positions) {
      for (size_t symbol = 0; symbol < width; ++symbol, ++i) {
        ASSERT_NEAR(row[position * width + symbol], expected[i],
                    GetParam().tolerance)
            << "position " << position << " symbol " << symbol;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, StepGoldenTest, testing::ValuesIn(Cases()),
                         [](const testing::TestParamInfo<GoldenCase>& info) {
                           return info.param.name;
                         });

}  // namespace
}  // namespace spanlm
