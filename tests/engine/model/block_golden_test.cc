// SPDX-License-Identifier: Apache-2.0
// The block form's whole distributions against those of the published programs
// (score-tokens' tests compare the scores of the symbols that came).
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "engine/checkpoint/import/import.h"
#include "engine/model/byte_model.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

struct BlockCase {
  std::string name;
  std::string family;
  std::string checkpoint;
  double tolerance = 0;  // nats; the set's README
};

void PrintTo(const BlockCase& block, std::ostream* os) { *os << block.name; }

// The evaluations of the checkpoint that hold distributions.
std::vector<GoldenCase> EvaluationsOf(const BlockCase& block) {
  std::vector<GoldenCase> all =
      absl::StartsWith(block.family, "adaptive_span")
          ? AdaptiveSpanCases(block.family, block.tolerance, block.tolerance)
          : TransformerXlCases(
                block.family,
                // the half checkpoint reads the other's tokens
                std::string(absl::StripSuffix(block.family, "_fp16")) +
                    ".tokens.u16",
                {block.checkpoint}, block.tolerance);
  std::vector<GoldenCase> evaluations;
  for (GoldenCase& golden : all) {
    if (golden.checkpoint == block.checkpoint && !golden.logp.empty()) {
      evaluations.push_back(std::move(golden));
    }
  }
  return evaluations;
}

// int64 [rows, tokens]
at::Tensor ReadTokens(const GoldenCase& golden) {
  const std::string bytes = ReadFile(GoldenPath(golden.tokens));
  const auto count = static_cast<int64_t>(bytes.size() / sizeof(uint16_t));
  at::Tensor tokens = at::empty({golden.rows, count / golden.rows}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    uint16_t token = 0;
    std::memcpy(&token, bytes.data() + i * sizeof(token), sizeof(token));
    tokens.mutable_data_ptr<int64_t>()[i] = token;
  }
  return tokens;
}

// ln P [rows, tokens − 1, vocab_size]
at::Tensor ReadInBlocks(const ByteModel& model, const at::Tensor& tokens,
                        int64_t block) {
  at::NoGradGuard no_grad;
  ModelMemory memory = model.NewMemory(tokens.size(0), {});
  std::vector<at::Tensor> parts;
  const int64_t scored = tokens.size(1) - 1;
  for (int64_t done = 0; done < scored; done += block) {
    const int64_t count = std::min(block, scored - done);
    parts.push_back(model.Forward(tokens.narrow(1, done, count), {}, &memory));
  }
  return at::log_softmax(at::cat(parts, 1), -1);
}

void ExpectDistributions(const GoldenCase& golden) {
  ImportOptions import;
  import.settings = golden.settings;
  ASSERT_OK_AND_ASSIGN(ModelContents contents,
                       ImportModel(GoldenPath(golden.checkpoint), import));
  ASSERT_OK_AND_ASSIGN(const ModelConfig config,
                       ModelConfig::Create(contents.fields));
  ASSERT_OK_AND_ASSIGN(
      const auto model,
      LoadByteModel(config, MemoryTensors(std::move(contents.tensors))));
  const at::Tensor found =
      ReadInBlocks(*model, ReadTokens(golden), golden.blocks.front());
  const std::vector<float> expected = ReadFloats(GoldenPath(golden.logp));
  const int64_t vocab = found.size(2);
  ASSERT_EQ(expected.size(),
            golden.rows * golden.logp_positions.size() * vocab);

  size_t i = 0;
  for (int64_t row = 0; row < golden.rows; ++row) {
    for (const int64_t position : golden.logp_positions) {
      const float* log_probs = found.const_data_ptr<float>() +
                               (row * found.size(1) + position) * vocab;
      for (int64_t symbol = 0; symbol < vocab; ++symbol, ++i) {
        ASSERT_NEAR(log_probs[symbol], expected[i], golden.block_tolerance)
            << "row " << row << " position " << position << " symbol "
            << symbol;
      }
    }
  }
}

class BlockGoldenTest : public testing::TestWithParam<BlockCase> {};

TEST_P(BlockGoldenTest, DistributionsAreThoseOfThePublishedProgram) {
  if (!IsThere(GetParam().checkpoint)) {
    GTEST_SKIP() << GoldenPath(GetParam().checkpoint) << " is not here";
  }
  const std::vector<GoldenCase> evaluations = EvaluationsOf(GetParam());
  ASSERT_FALSE(evaluations.empty());

  for (const GoldenCase& golden : evaluations) {
    SCOPED_TRACE(golden.logp);
    ExpectDistributions(golden);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Families, BlockGoldenTest,
    testing::Values(
        BlockCase{"original", "adaptive_span_o", "adaptive_span_o.pt", 1.5e-5},
        BlockCase{"fairseq", "adaptive_span_f", "adaptive_span_f.pt", 1.5e-5},
        BlockCase{"fairseq_fp16", "adaptive_span_f_fp16",
                  "adaptive_span_f_fp16.pt", 3e-5},
        BlockCase{"fairseq_xl", "transformer_xl_f", "transformer_xl_f.pt",
                  1e-4},
        BlockCase{"fairseq_xl_fp16", "transformer_xl_f_fp16",
                  "transformer_xl_f_fp16.pt", 1e-4},
        BlockCase{"huggingface", "transformer_xl_f", "transformer_xl_hf",
                  1e-4}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace spanlm
