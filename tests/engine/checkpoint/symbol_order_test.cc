// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/symbol_order.h"

#include <optional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

using testing::ElementsAre;

constexpr std::nullopt_t kNoByte = std::nullopt;

ModelFields WithSymbols(std::vector<std::optional<uint8_t>> symbols,
                        int32_t unknown_symbol) {
  ModelFields fields;
  fields.vocab_size = static_cast<int32_t>(symbols.size());
  fields.symbols = std::move(symbols);
  fields.unknown_symbol = unknown_symbol;
  return fields;
}

TEST(SymbolOrderTest, KeepsTheIdsOfAModelThatWasFairseqs) {
  const SymbolOrder order = FairseqOrder(WithSymbols(
      {kNoByte, kNoByte, 10, kNoByte, 32, 101, kNoByte, kNoByte}, 3));

  EXPECT_TRUE(order.keeps_ids);
  EXPECT_THAT(order.sources, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(order.text, "32 1\n101 1\nmadeupword0000 0\nmadeupword0001 0\n");
}

TEST(SymbolOrderTest, PutsSpecialsFirstAndFillsUpToAMultipleOfEight) {
  const SymbolOrder order = FairseqOrder(WithSymbols({65, 10, 66}, -1));

  EXPECT_FALSE(order.keeps_ids);
  EXPECT_THAT(order.sources, ElementsAre(-1, -1, 1, -1, 0, 2, -1, -1));
  EXPECT_EQ(order.text, "65 1\n66 1\nmadeupword0000 0\nmadeupword0001 0\n");
}

TEST(SymbolOrderTest, KeepsAModelsOwnUnknownAndItsSpecials) {
  const SymbolOrder order =
      FairseqOrder(WithSymbols({kNoByte, 10, 65, kNoByte}, 3));

  EXPECT_THAT(order.sources, ElementsAre(-1, -1, 1, 3, 0, 2, -1, -1));
  EXPECT_EQ(order.text,
            "madeupword0000 0\n65 1\nmadeupword0001 0\nmadeupword0002 0\n");
}

TEST(SymbolOrderTest, NumbersTheBytesOfANativeModelInTheirOrder) {
  const SymbolOrder order = FairseqOrder(WithSymbols(AllBytes(), -1));

  ASSERT_EQ(order.sources.size(), 264U);  // 4 + 255, then fillers
  EXPECT_EQ(order.sources[2], 10);
  EXPECT_EQ(order.sources[4], 0);
  EXPECT_EQ(order.sources[13], 9);
  EXPECT_EQ(order.sources[14], 11);
  EXPECT_EQ(order.sources[258], 255);
  EXPECT_EQ(order.sources[259], -1);
}

TEST(SymbolOrderTest, MovesRowsAndMutesWhatIsNotThere) {
  const SymbolOrder order = FairseqOrder(WithSymbols({65, 10}, -1));
  std::vector<FloatTensor> tensors = {{"in_emb.weight", {2, 2}, {1, 2, 3, 4}},
                                      {"out_emb.bias", {2}, {5, 6}},
                                      {"layers.0.norm1.bias", {2}, {7, 8}}};

  ReorderSymbols(order, &tensors);

  EXPECT_THAT(tensors[0].shape, ElementsAre(8, 2));
  EXPECT_THAT(tensors[0].values,
              ElementsAre(0, 0, 0, 0, 3, 4, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(tensors[1].values,
              ElementsAre(-1e4, -1e4, 6, -1e4, 5, -1e4, -1e4, -1e4));
  EXPECT_THAT(tensors[2].values, ElementsAre(7, 8));
}

TEST(SymbolOrderTest, ComparesSymbolsAndNotCounts) {
  EXPECT_TRUE(SameSymbols("32 5\n101 2\n", "32 1\n101 1\n"));
  EXPECT_FALSE(SameSymbols("32 1\n101 1\n", "101 1\n32 1\n"));
  EXPECT_FALSE(SameSymbols("32 1\n", "32 1\n101 1\n"));
}

}  // namespace
}  // namespace spanlm
