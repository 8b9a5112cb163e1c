// SPDX-License-Identifier: Apache-2.0
#include "train/validate.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/dense_model.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

std::vector<uint8_t> Bytes(const std::vector<uint16_t>& symbols) {
  return std::vector<uint8_t>(symbols.begin(), symbols.end());
}

// What the renormaliser's epsilon, which the plain form lacks, makes of 57
// symbols (docs/model.md, 1.1).
constexpr double kEpsilonBits = 3e-5;
// The plain form rounds frequencies to single precision.
constexpr double kFrequencyBits = 1e-6;

// Every row of `length` from its own start, all symbols but the first.
double PlainBits(const MemoryModel& model, const std::vector<uint16_t>& symbols,
                 size_t rows) {
  const size_t length = symbols.size() / rows;
  double nats = 0;
  for (size_t row = 0; row < rows; ++row) {
    const absl::Span<const uint16_t> text =
        absl::MakeSpan(symbols).subspan(row * length, length);
    const auto log_probs = DenseLogProbs(model.config, model.tensors, text);
    for (size_t t = 0; t + 1 < length; ++t) nats -= log_probs[t][text[t + 1]];
  }
  return nats / M_LN2;
}

TEST(ValidateTest, ScoresAllButTheFirstSymbolOfEveryRow) {
  const std::vector<uint16_t> symbols = RandomSymbols(62, 40, 5);
  for (const ModelFields& fields :
       {SmallAdaptiveSpan(), SmallTransformerXl()}) {
    const MemoryModel memory = RandomModel(fields, {0.05F, 0.3F}, 2);
    ASSERT_OK_AND_ASSIGN(
        const auto model,
        LoadByteModel(memory.config, memory.tensors, at::kDouble));
    const double expected = PlainBits(memory, symbols, 3);
    const double tolerance = fields.architecture == Architecture::kAdaptiveSpan
                                 ? kEpsilonBits
                                 : kFrequencyBits;
    for (const int64_t block : {1, 7, 19, 100}) {
      const Validation validation =
          Validate(*model, Bytes(symbols), 3, block, Precision::kFull);

      EXPECT_EQ(validation.scored, 3 * 19);
      EXPECT_NEAR(validation.bits, expected, tolerance)
          << "blocks of " << block;
      EXPECT_DOUBLE_EQ(validation.bits_per_byte(), validation.bits / 57);
    }
  }
}

TEST(ValidateTest, IsTheSameWithAnyNumberOfThreads) {
  const std::vector<uint16_t> symbols = RandomSymbols(100, 40, 5);
  const MemoryModel memory = RandomModel(SmallAdaptiveSpan(), {0.1F}, 2);
  ASSERT_OK_AND_ASSIGN(
      const auto model,
      LoadByteModel(memory.config, memory.tensors, at::kDouble));
  double bits[2];
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    bits[threads - 1] =
        Validate(*model, Bytes(symbols), 5, 8, Precision::kFull).bits;
  }
  at::set_num_threads(1);
  EXPECT_NEAR(bits[0], bits[1], 1e-9);
}

TEST(ValidateTest, ScoresNothingWhereRowsHaveNoSecondSymbol) {
  const MemoryModel memory = RandomModel(SmallAdaptiveSpan(), {0.1F}, 2);
  ASSERT_OK_AND_ASSIGN(const auto model,
                       LoadByteModel(memory.config, memory.tensors));
  for (const size_t size : {0U, 2U, 7U}) {
    const Validation validation =
        Validate(*model, std::vector<uint8_t>(size, 1), 4, 8, Precision::kFull);
    EXPECT_EQ(validation.scored, 0) << size;
    EXPECT_EQ(validation.bits_per_byte(), 0) << size;
  }
}

}  // namespace
}  // namespace spanlm
