// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/symbols.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::ElementsAre;
using testing::Optional;

ModelFields WithSymbols(int32_t count) {
  ModelFields fields;
  fields.vocab_size = count;
  return fields;
}

TEST(SymbolsTest, ReadsFairseqsDictionary) {
  const TempDir folder;
  ModelFields fields = WithSymbols(8);

  ASSERT_OK(ReadDictionary(
      folder.Write("dict.txt", "32 2000001\n101 9\n0 1\nmadeupword0000 0\n"),
      &fields));

  EXPECT_THAT(
      fields.symbols,
      ElementsAre(std::nullopt, std::nullopt, Optional(10), std::nullopt,
                  Optional(32), Optional(101), Optional(0), std::nullopt));
  EXPECT_EQ(fields.unknown_symbol, 3);
}

TEST(SymbolsTest, RefusesDictionariesOfOtherSymbolsAndNamesTheLine) {
  const TempDir folder;
  for (const char* symbol : {"the", "256", "-1", "+1", "1e1", ""}) {
    ModelFields fields = WithSymbols(6);
    const std::string path =
        folder.Write("dict.txt", std::string("32 5\n") + symbol + " 4\n");

    EXPECT_THAT(ReadDictionary(path, &fields),
                StatusIs(absl::StatusCode::kInvalidArgument, "line 2"))
        << symbol;
  }
}

TEST(SymbolsTest, RefusesAnotherNumberOfSymbolsThanTheModels) {
  const TempDir folder;
  ModelFields fields = WithSymbols(208);

  EXPECT_THAT(ReadDictionary(folder.Write("dict.txt", "32 5\n"), &fields),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "makes 5 symbols, the model has 208"));
  EXPECT_THAT(ReadVocabularyText(folder.Write("train.txt", "ab"), &fields),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "makes 3 symbols, the model has 208"));
  EXPECT_THAT(ReadDictionary(folder.File("none"), &fields),
              StatusIs(absl::StatusCode::kNotFound, "none"));
}

TEST(SymbolsTest, OrdersTheTextsBytesByFirstAppearance) {
  const TempDir folder;
  for (const char* content :
       {"cab\nba\x01", "99 97 98 \n98 97 1", "99 97 98\n\n1\n"}) {
    ModelFields fields = WithSymbols(5);

    ASSERT_OK(ReadVocabularyText(folder.Write("train.txt", content), &fields));

    EXPECT_THAT(fields.symbols,
                ElementsAre(Optional('c'), Optional('a'), Optional('b'),
                            Optional(10), Optional(1)));
    EXPECT_EQ(fields.unknown_symbol, -1);
  }
}

TEST(SymbolsTest, EndsTheLastLineEvenWithoutALineFeed) {
  const TempDir folder;
  for (const char* content : {"ab", "97 98", "97 98\n"}) {
    ModelFields fields = WithSymbols(3);

    ASSERT_OK(ReadVocabularyText(folder.Write("train.txt", content), &fields));

    EXPECT_THAT(fields.symbols,
                ElementsAre(Optional('a'), Optional('b'), Optional(10)));
  }
}

TEST(SymbolsTest, RefusesDecimalTextThatIsNoBytes) {
  const TempDir folder;
  ModelFields fields = WithSymbols(3);

  for (const char* content : {"97\n97 256\n", "97\n10\n"}) {
    EXPECT_THAT(ReadVocabularyText(folder.Write("train.txt", content), &fields),
                StatusIs(absl::StatusCode::kInvalidArgument, "line 2"));
  }
}

}  // namespace
}  // namespace spanlm
