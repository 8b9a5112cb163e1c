// SPDX-License-Identifier: Apache-2.0
#include "train/fairseq_dictionary.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::HasSubstr;

WordCounts Counts(
    std::initializer_list<std::pair<const char*, int64_t>> words) {
  WordCounts counts;
  for (const auto& [word, count] : words) counts.Add(word, count);
  return counts;
}

DictionaryOptions Unpadded() {
  DictionaryOptions options;
  options.padding_factor = 1;
  return options;
}

std::string TextOf(const WordCounts& counts, const DictionaryOptions& options) {
  const auto dictionary = FairseqDictionary::Create(counts, options);
  return dictionary.ok() ? dictionary->Text() : dictionary.status().ToString();
}

TEST(FairseqDictionaryTest, OrdersByFallingCountThenByRisingText) {
  const WordCounts counts = Counts({{"9", 3},
                                    {"100", 3},
                                    {"11", 3},
                                    {"the", 3},
                                    {"The", 3},
                                    {"\xC3\xA9", 3},
                                    {"32", 40},
                                    {"1000", 5}});

  EXPECT_EQ(TextOf(counts, Unpadded()),
            "32 40\n1000 5\n100 3\n11 3\n9 3\nThe 3\nthe 3\n\xC3\xA9 3\n");
}

TEST(FairseqDictionaryTest, FillsUpToAMultipleThatCountsTheSpecials) {
  EXPECT_EQ(TextOf(Counts({{"1", 2}}), {}),
            "1 2\nmadeupword0000 0\nmadeupword0001 0\nmadeupword0002 0\n");
  EXPECT_EQ(TextOf(Counts({{"1", 2}, {"2", 2}, {"3", 2}, {"4", 2}}), {}),
            "1 2\n2 2\n3 2\n4 2\n");
  DictionaryOptions options;
  options.padding_factor = 3;
  EXPECT_EQ(TextOf(Counts({{"1", 2}}), options), "1 2\nmadeupword0000 0\n");
  options.padding_factor = 0;
  EXPECT_EQ(TextOf(Counts({{"1", 2}}), options), "1 2\n");
}

TEST(FairseqDictionaryTest, AWordWithAFillersNameTakesItsPlace) {
  EXPECT_EQ(TextOf(Counts({{"madeupword0001", 7}, {"5", 1}}), {}),
            "madeupword0001 7\n5 1\nmadeupword0000 0\nmadeupword0002 0\n");
}

TEST(FairseqDictionaryTest, SpecialsInTheTextKeepTheirIds) {
  ASSERT_OK_AND_ASSIGN(
      const FairseqDictionary dictionary,
      FairseqDictionary::Create(
          Counts(
              {{"<s>", 9}, {"<pad>", 8}, {"</s>", 7}, {"<unk>", 6}, {"a", 1}}),
          Unpadded()));

  EXPECT_EQ(dictionary.Text(), "a 1\n");
  EXPECT_EQ(dictionary.IdOf("<s>"), 0);
  EXPECT_EQ(dictionary.IdOf("<pad>"), 1);
  EXPECT_EQ(dictionary.IdOf("</s>"), 2);
  EXPECT_EQ(dictionary.IdOf("<unk>"), 3);
  EXPECT_EQ(dictionary.IdOf("a"), 4);
}

TEST(FairseqDictionaryTest, LeavesOutRareWordsAndThoseBehindTheMost) {
  const WordCounts counts = Counts({{"1", 4}, {"2", 3}, {"3", 3}, {"4", 1}});
  DictionaryOptions options = Unpadded();

  options.threshold = 3;
  EXPECT_EQ(TextOf(counts, options), "1 4\n2 3\n3 3\n");
  options.words = 6;
  EXPECT_EQ(TextOf(counts, options), "1 4\n2 3\n");
  options.words = 3;
  EXPECT_EQ(TextOf(counts, options), "");
  options.words = 0;
  options.threshold = 5;
  EXPECT_EQ(TextOf(counts, options), "");
}

TEST(FairseqDictionaryTest, GivesIdsInItsOrderAndUnknownToTheRest) {
  ASSERT_OK_AND_ASSIGN(const FairseqDictionary dictionary,
                       FairseqDictionary::Create(
                           Counts({{"65", 5}, {"word", 4}, {"007", 3}}), {}));

  EXPECT_EQ(dictionary.size(), 8);
  EXPECT_EQ(dictionary.IdOf("65"), 4);
  EXPECT_EQ(dictionary.IdOf("word"), 5);
  EXPECT_EQ(dictionary.IdOf("007"), 6);
  EXPECT_EQ(dictionary.IdOf("madeupword0000"), 7);
  for (const char* word : {"7", "07", "66", "065", "words", ""}) {
    EXPECT_EQ(dictionary.IdOf(word), kFairseqUnknown) << word;
  }
}

TEST(FairseqDictionaryTest, CountsAddUp) {
  WordCounts counts = Counts({{"1", 1}, {"a", 1}});
  counts.Add("a");
  counts.Add("1");
  counts.Add(Counts({{"1", 3}, {"a", 5}, {"b", 7}, {"2", 9}}));
  const WordCounts moved = std::move(counts);

  EXPECT_EQ(TextOf(moved, Unpadded()), "2 9\na 7\nb 7\n1 5\n");
}

TEST(FairseqDictionaryTest, RefusesMoreSymbolsThanIdsOf16Bits) {
  WordCounts counts;
  for (int i = 0; i < kMaxFairseqSymbols - kFairseqSpecials; ++i) {
    counts.Add(absl::StrCat(i));
  }
  EXPECT_OK(FairseqDictionary::Create(counts, Unpadded()));
  EXPECT_THAT(FairseqDictionary::Create(counts, {}),
              StatusIs(absl::StatusCode::kOutOfRange,
                       "has 65504 symbols, want at most 65499"));
  counts.Add("one more");
  EXPECT_THAT(FairseqDictionary::Create(counts, Unpadded()),
              StatusIs(absl::StatusCode::kOutOfRange, "--thresholdsrc"));
}

TEST(FairseqDictionaryTest, ReadsWhatItWrites) {
  const TempDir folder;
  const std::string text =
      "32 524\nmadeupword 9\n101 322\ntwo words 3\nmadeupword0000 0\n";
  ASSERT_OK_AND_ASSIGN(const FairseqDictionary dictionary,
                       FairseqDictionary::Read(folder.Write("dict.txt", text)));

  EXPECT_EQ(dictionary.Text(), text);
  EXPECT_EQ(dictionary.size(), 9);
  EXPECT_EQ(dictionary.IdOf("101"), 6);
}

TEST(FairseqDictionaryTest, ReadsTheFixedPointsOfOtherHands) {
  const TempDir folder;
  for (const char* text :
       {"32 5\r\n101 3\r\n", "32 5\n101 3", "32 5 \n101 3"}) {
    ASSERT_OK_AND_ASSIGN(
        const FairseqDictionary dictionary,
        FairseqDictionary::Read(folder.Write("dict.txt", text)));
    EXPECT_EQ(dictionary.Text(), "32 5\n101 3\n");
  }
}

TEST(FairseqDictionaryTest, NamesTheWrongLine) {
  const TempDir folder;
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"32 5\n101\n", "line 2: 101, want `symbol count`"},
      {"32 5\n\n101 3\n", "line 2: , want"},
      {"32 five\n", "line 1: 32 five, want"},
      {"32 5\n7 1\n32 2\n", "line 3: 32 is there twice"},
      {"word 5\nword 5\n", "line 2: word is there twice"},
      {"32 5\n</s> 5\n", "line 2: </s> is there twice"},
      {"<unk> 5\n", "line 1: <unk> is there twice"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(
        FairseqDictionary::Read(folder.Write("dict.txt", c.text)),
        StatusIs(absl::StatusCode::kDataLoss,
                 testing::AllOf(HasSubstr("dict.txt, "), HasSubstr(c.message))))
        << c.text;
  }
  EXPECT_THAT(FairseqDictionary::Read(folder.File("none")),
              StatusIs(absl::StatusCode::kNotFound, "none"));
}

TEST(FairseqDictionaryGoldenTest, ReadsFairseqsFile) {
  const std::string path = GoldenPath("fairseq_databin/dict.txt");
  const nlohmann::json json = GoldenJson("fairseq_databin/databin.json");
  ASSERT_OK_AND_ASSIGN(const FairseqDictionary dictionary,
                       FairseqDictionary::Read(path));

  EXPECT_EQ(dictionary.size(), json["vocab_size"]);
  EXPECT_EQ(dictionary.Text(), ReadFile(path));
  for (const auto& [name, id] : json["ids_of_specials"].items()) {
    EXPECT_EQ(dictionary.IdOf(name), id);
  }
}

}  // namespace
}  // namespace spanlm
