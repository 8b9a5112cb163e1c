// SPDX-License-Identifier: Apache-2.0
#include "train/model_text.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/train/tiny_model.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Symbols = std::vector<uint16_t>;

// Two specials, then `bytes`: how fairseq numbers symbols.
ModelFields WithSpecials(absl::string_view bytes) {
  ModelFields fields = TinyAdaptiveSpan();
  fields.symbols.assign(2, std::nullopt);
  for (const char byte : bytes) {
    fields.symbols.emplace_back(static_cast<uint8_t>(byte));
  }
  fields.vocab_size = static_cast<int32_t>(fields.symbols.size());
  return fields;
}

// A model that does not know its `size` symbols' bytes.
ModelFields TokenModel(int32_t size) {
  ModelFields fields = TinyAdaptiveSpan();
  fields.vocab_size = size;
  fields.symbols.clear();
  return fields;
}

SymbolText TextOf(const Symbols& symbols) {
  return SymbolText(absl::MakeConstSpan(symbols));
}

SymbolText TextOf(absl::string_view bytes) {
  return SymbolText(absl::MakeConstSpan(
      reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

absl::StatusOr<Symbols> Convert(const SymbolText& text,
                                const ModelFields& corpus, ModelFields model,
                                bool drops_newlines = false) {
  const absl::StatusOr<ModelConfig> config =
      ModelConfig::Create(std::move(model));
  if (!config.ok()) return config.status();
  return SymbolsOf(text, corpus, *config, drops_newlines);
}

TEST(BytesOfTest, SaysWhatTheSymbolsStandFor) {
  const ModelFields corpus = WithSpecials("ab\xff");

  EXPECT_EQ(BytesOf(TextOf(Symbols{3, 2, 4}), corpus), "ba\xff");
  EXPECT_EQ(BytesOf(TextOf(Symbols{}), corpus), "");
  EXPECT_EQ(BytesOf(TextOf("a\xff"), TinyAdaptiveSpan()), "a\xff");
}

TEST(BytesOfTest, SaysNothingWhereASymbolStandsForNone) {
  const ModelFields corpus = WithSpecials("ab");

  EXPECT_EQ(BytesOf(TextOf(Symbols{2, 1, 3}), corpus), std::nullopt);
  EXPECT_EQ(BytesOf(TextOf(Symbols{2, 4}), corpus), std::nullopt);
}

TEST(SymbolsOfTest, LeavesTheTextToAModelOfTheSameSymbols) {
  const ModelFields corpus = WithSpecials("ab\n");

  // Symbol 1 stands for no byte, and need not.
  for (const ModelFields& model : {corpus, TokenModel(5)}) {
    ASSERT_OK_AND_ASSIGN(
        const Symbols symbols,
        Convert(TextOf(Symbols{3, 1, 4, 2}), corpus, model, true));
    EXPECT_THAT(symbols, ElementsAre(3, 1, 4, 2));
  }
}

TEST(SymbolsOfTest, GoesByTheBytesWhereTheModelNumbersThemOtherwise) {
  ASSERT_OK_AND_ASSIGN(
      const Symbols of_raw,
      Convert(TextOf("abba"), TinyAdaptiveSpan(), WithSpecials("ba")));
  EXPECT_THAT(of_raw, ElementsAre(3, 2, 2, 3));

  // As many symbols, in another order.
  ASSERT_OK_AND_ASSIGN(const Symbols of_other,
                       Convert(TextOf(Symbols{2, 3, 3}), WithSpecials("ab"),
                               WithSpecials("ba")));
  EXPECT_THAT(of_other, ElementsAre(3, 2, 2));
}

TEST(SymbolsOfTest, NamesTheByteThatTheModelHasNoSymbolFor) {
  EXPECT_THAT(Convert(TextOf("abca"), TinyAdaptiveSpan(), WithSpecials("ab")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("byte 99"), HasSubstr("offset 2"))));
}

TEST(SymbolsOfTest, RefusesSymbolsWithoutAByteForAModelOfOthers) {
  EXPECT_THAT(
      Convert(TextOf(Symbols{2, 1}), WithSpecials("ab"), TinyAdaptiveSpan()),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("256"), HasSubstr("the corpus 4"))));
}

// Bytes are not tokens, though there may be as many of both.
TEST(SymbolsOfTest, RefusesATokenModelOnBytesAndOtherTokens) {
  for (const int32_t size : {256, 7}) {
    EXPECT_THAT(Convert(TextOf("ab"), TinyAdaptiveSpan(), TokenModel(size)),
                StatusIs(absl::StatusCode::kFailedPrecondition, "token model"))
        << size;
  }
  // Nor are the tokens of another vocabulary.
  EXPECT_THAT(Convert(TextOf(Symbols{2, 3}), WithSpecials("ab"), TokenModel(7)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "token model"));
}

TEST(SymbolsOfTest, DropsNewlinesOnlyWhereTheModelHasNoneAndItIsAsked) {
  const SymbolText text = TextOf("a\nb\n");
  const ModelFields corpus = TinyAdaptiveSpan();

  ASSERT_OK_AND_ASSIGN(const Symbols dropped,
                       Convert(text, corpus, WithSpecials("ab"), true));
  EXPECT_THAT(dropped, ElementsAre(2, 3));
  ASSERT_OK_AND_ASSIGN(const Symbols kept,
                       Convert(text, corpus, WithSpecials("ab\n"), true));
  EXPECT_THAT(kept, ElementsAre(2, 4, 3, 4));
  EXPECT_THAT(Convert(text, corpus, WithSpecials("ab")),
              StatusIs(absl::StatusCode::kInvalidArgument, "byte 10"));
}

}  // namespace
}  // namespace spanlm
