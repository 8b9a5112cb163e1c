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

// By slices, from the model's start.
Validation ValidateSlices(const ByteModel& model,
                          const std::vector<uint16_t>& symbols, int64_t rows,
                          int64_t block) {
  ValidateOptions options;
  options.rows = WholeBatch(RowLayout::kSlices, rows, block);
  return Validate(model, SymbolText(absl::MakeConstSpan(symbols)), options);
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
      const Validation validation = ValidateSlices(*model, symbols, 3, block);

      EXPECT_EQ(validation.scored, 3 * 19);
      EXPECT_NEAR(validation.bits, expected, tolerance)
          << "blocks of " << block;
      EXPECT_DOUBLE_EQ(validation.bits_per_symbol(), validation.bits / 57);
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
    bits[threads - 1] = ValidateSlices(*model, symbols, 5, 8).bits;
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
        ValidateSlices(*model, std::vector<uint16_t>(size, 1), 4, 8);
    EXPECT_EQ(validation.scored, 0) << size;
    EXPECT_EQ(validation.bits_per_symbol(), 0) << size;
  }
}

// What fairseq leaves out is each block's last prediction.
TEST(ValidateTest, BlocksLeaveOutTheirLastPredictionAndCountPads) {
  // Seven blocks of 8, the last of 5: two rows of three, one block left over;
  // one row of all seven.
  const std::vector<uint16_t> symbols = RandomSymbols(53, 40, 5);
  const MemoryModel memory = RandomModel(SmallAdaptiveSpan(), {0.1F}, 2);
  ASSERT_OK_AND_ASSIGN(
      const auto model,
      LoadByteModel(memory.config, memory.tensors, at::kDouble));
  const auto log_probs = DenseLogProbs(memory.config, memory.tensors, symbols);
  double nats = 0;
  for (size_t t = 0; t + 1 < symbols.size(); ++t) {
    if (t % 8 != 7) nats -= log_probs[t][symbols[t + 1]];
  }
  ValidateOptions options;
  options.rows = WholeBatch(RowLayout::kBlocks, 1, 8);
  const SymbolText text(absl::MakeConstSpan(symbols));

  const Validation one = Validate(*model, text, options);

  EXPECT_NEAR(one.bits, nats / M_LN2, kEpsilonBits);
  EXPECT_EQ(one.scored, 6 * 7 + 4);
  EXPECT_EQ(one.positions, 53);
  options.rows = WholeBatch(RowLayout::kBlocks, 2, 8);
  const Validation two = Validate(*model, text, options);
  EXPECT_EQ(two.scored, 2 * 3 * 7);
  EXPECT_EQ(two.positions, 48);
  EXPECT_EQ(two.blocks, 3);
}

TEST(ValidateTest, GoesOnFromMemoriesAndMovesThem) {
  const std::vector<uint16_t> symbols = RandomSymbols(65, 40, 5);
  const MemoryModel memory = RandomModel(SmallAdaptiveSpan(), {0.1F}, 2);
  ASSERT_OK_AND_ASSIGN(
      const auto model,
      LoadByteModel(memory.config, memory.tensors, at::kDouble));
  const SymbolText text(absl::MakeConstSpan(symbols));
  ValidateOptions options;
  options.rows = WholeBatch(RowLayout::kSlices, 1, 16);
  std::vector<ModelMemory> memories = {model->NewMemory(1, PassOptions())};

  const double first =
      Validate(*model, text.Part(0, 33), options, &memories).bits;
  const double second =
      Validate(*model, text.Part(32, 33), options, &memories).bits;

  EXPECT_NEAR(first + second, Validate(*model, text, options).bits, 1e-9);
}

TEST(ValidateTest, WholeBlocksOnlyLeavesOutTheRest) {
  const std::vector<uint16_t> symbols = RandomSymbols(62, 40, 5);
  const MemoryModel memory = RandomModel(SmallAdaptiveSpan(), {0.1F}, 2);
  ASSERT_OK_AND_ASSIGN(const auto model,
                       LoadByteModel(memory.config, memory.tensors));
  ValidateOptions options;
  options.rows = WholeBatch(RowLayout::kSlices, 2, 8);
  options.whole_blocks_only = true;

  const Validation validation =
      Validate(*model, SymbolText(absl::MakeConstSpan(symbols)), options);

  EXPECT_EQ(validation.scored, 2 * 24);  // of 30 a row
  EXPECT_EQ(validation.blocks, 3);
  EXPECT_NEAR(validation.block_mean_bits / 3, validation.bits_per_symbol(),
              1e-6);
}

}  // namespace
}  // namespace spanlm
