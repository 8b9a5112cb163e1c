// SPDX-License-Identifier: Apache-2.0
#include "engine/symbol_map.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

ModelConfig ConfigWith(std::vector<std::optional<uint8_t>> symbols,
                       int32_t unknown_symbol) {
  ModelFields fields;
  fields.n_layer = 1;
  fields.d_model = fields.d_inner = 4;
  fields.n_head = 2;
  fields.d_head = 2;
  fields.attn_span = 64;
  fields.vocab_size =
      symbols.empty() ? 8 : static_cast<int32_t>(symbols.size());
  fields.symbols = std::move(symbols);
  fields.unknown_symbol = unknown_symbol;
  return *ModelConfig::Create(fields);
}

// Like fairseq's: specials, then 'b' and 'a'.
ModelConfig WithUnknown() {
  return ConfigWith({std::nullopt, std::nullopt, uint8_t{10}, std::nullopt,
                     uint8_t{'b'}, uint8_t{'a'}},
                    3);
}

ModelConfig WithoutUnknown() {
  return ConfigWith({uint8_t{'b'}, uint8_t{10}, uint8_t{'a'}}, -1);
}

TEST(SymbolMapTest, NativeModelsMapBytesToThemselves) {
  ASSERT_OK_AND_ASSIGN(const SymbolMap map,
                       SymbolMap::Create(ConfigWith(AllBytes(), -1)));
  std::vector<uint16_t> symbols;

  ASSERT_OK(map.Encode(std::string("\0a\xff", 3), &symbols));

  EXPECT_THAT(symbols, ElementsAre(0, 'a', 255));
  EXPECT_TRUE(map.is_identity());
  EXPECT_EQ(map.ByteLogProb(200, -1.25F), -1.25F);
}

TEST(SymbolMapTest, ReadsUnmappedBytesAsUnknown) {
  ASSERT_OK_AND_ASSIGN(const SymbolMap map, SymbolMap::Create(WithUnknown()));
  std::vector<uint16_t> symbols = {9, 9, 9, 9, 9, 9, 9};

  ASSERT_OK(map.Encode("ab\nz", &symbols));

  EXPECT_THAT(symbols, ElementsAre(5, 4, 2, 3));
  EXPECT_EQ(map.symbol('z'), 3);
  EXPECT_FALSE(map.is_identity());
}

TEST(SymbolMapTest, SharesTheUnknownSymbolsProbabilityAmongItsBytes) {
  ASSERT_OK_AND_ASSIGN(const SymbolMap map, SymbolMap::Create(WithUnknown()));

  EXPECT_EQ(map.ByteLogProb('a', -2.5F), -2.5F);
  EXPECT_FLOAT_EQ(map.ByteLogProb('z', -2.5F), -2.5F - std::log(253.0F));
}

TEST(SymbolMapTest, ProbabilitiesOfAllBytesAreThoseOfTheirSymbols) {
  ASSERT_OK_AND_ASSIGN(const SymbolMap map, SymbolMap::Create(WithUnknown()));
  const std::vector<float> symbols = {-1, -2, -3, -4, -5, -6};

  const std::array<float, 256> bytes = map.ByteLogProbs(symbols);

  EXPECT_EQ(bytes['\n'], -3);
  EXPECT_EQ(bytes['b'], -5);
  EXPECT_EQ(bytes['a'], -6);
  EXPECT_EQ(bytes[0], map.ByteLogProb(0, -4));
}

TEST(SymbolMapTest, BytesThatCannotBeHadHaveNoProbability) {
  ASSERT_OK_AND_ASSIGN(const SymbolMap map,
                       SymbolMap::Create(WithoutUnknown()));
  const std::vector<float> symbols = {-1, -2, -3};

  const std::array<float, 256> bytes = map.ByteLogProbs(symbols);

  EXPECT_EQ(bytes['b'], -1);
  EXPECT_EQ(bytes['z'], -kInfinity);
  EXPECT_EQ(map.ByteLogProb('z', -1), -kInfinity);
}

TEST(SymbolMapTest, TheStartOfATextIsUniform) {
  ASSERT_OK_AND_ASSIGN(const SymbolMap map, SymbolMap::Create(WithUnknown()));

  EXPECT_THAT(map.ByteLogProbs({}), Each(-std::log(256.0F)));
}

TEST(SymbolMapTest, RefusesAByteWithoutSymbolAndNamesItAndItsOffset) {
  ASSERT_OK_AND_ASSIGN(const SymbolMap map,
                       SymbolMap::Create(WithoutUnknown()));
  std::vector<uint16_t> symbols;

  EXPECT_THAT(map.Encode("ab\xfez", &symbols),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("byte 254"), HasSubstr("offset 2"))));
}

TEST(SymbolMapTest, RefusesATokenModelAndSaysHowToImportIt) {
  EXPECT_THAT(SymbolMap::Create(ConfigWith({}, -1)),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("--dict"), HasSubstr("--vocab-from"))));
}

}  // namespace
}  // namespace spanlm
