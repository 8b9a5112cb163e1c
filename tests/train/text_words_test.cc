// SPDX-License-Identifier: Apache-2.0
#include "train/text_words.h"

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Words as they come, "|" for a line end.
std::vector<std::string> Words(absl::string_view text) {
  std::vector<std::string> words;
  ForEachWord(
      text, [&](absl::string_view word) { words.emplace_back(word); },
      [&] { words.emplace_back("|"); });
  return words;
}

TEST(TextWordsTest, StandBetweenBlanks) {
  EXPECT_THAT(Words(""), IsEmpty());
  EXPECT_THAT(Words("  \t "), IsEmpty());
  EXPECT_THAT(Words("32 101"), ElementsAre("32", "101"));
  EXPECT_THAT(Words(" \t32\v\f 101 \n"), ElementsAre("32", "101", "|"));
  EXPECT_THAT(Words("a\x1c"
                    "b\x1d"
                    "c\x1e"
                    "d\x1f"
                    "e"),
              ElementsAre("a", "b", "c", "d", "e"));
}

TEST(TextWordsTest, LinesEndAsInPythonsTextMode) {
  EXPECT_THAT(Words("\n"), ElementsAre("|"));
  EXPECT_THAT(Words("\r\n"), ElementsAre("|"));
  EXPECT_THAT(Words("\r\r\n\n\r"), ElementsAre("|", "|", "|", "|"));
  EXPECT_THAT(Words("a\rb\r\nc\n \nd"),
              ElementsAre("a", "|", "b", "|", "c", "|", "|", "d"));
  // Other line ends of Unicode are blanks.
  EXPECT_THAT(Words("a\v\xC2\x85\xE2\x80\xA8z"), ElementsAre("a", "z"));
}

TEST(TextWordsTest, KnowsEveryBlankOfUnicode) {
  // Those of Python's str.isspace outside ASCII.
  for (const char* blank :
       {"\xC2\x85", "\xC2\xA0", "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
        "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85",
        "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89",
        "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF",
        "\xE2\x81\x9F", "\xE3\x80\x80"}) {
    const std::string text =
        std::string(blank) + "a" + blank + blank + "b" + blank;
    EXPECT_THAT(Words(text), ElementsAre("a", "b")) << text;
  }
}

TEST(TextWordsTest, TakesNeighboursOfThoseBlanksForLetters) {
  // U+00A1, U+00E9, U+1681, U+180E, U+200B, U+2027, U+2060, U+3001, U+FEFF.
  for (const char* letter :
       {"\xC2\xA1", "\xC3\xA9", "\xE1\x9A\x81", "\xE1\xA0\x8E", "\xE2\x80\x8B",
        "\xE2\x80\xA7", "\xE2\x81\xA0", "\xE3\x80\x81", "\xEF\xBB\xBF"}) {
    EXPECT_THAT(Words(letter), ElementsAre(letter));
    EXPECT_THAT(Words(std::string("a") + letter + "b c"),
                ElementsAre(std::string("a") + letter + "b", "c"));
  }
}

TEST(TextWordsTest, TakesBytesThatAreNotUtf8AsTheyAre) {
  EXPECT_THAT(Words("\xC2"), ElementsAre("\xC2"));
  EXPECT_THAT(Words("\xE2\x80 \xFF\x80"), ElementsAre("\xE2\x80", "\xFF\x80"));
  EXPECT_THAT(Words(absl::string_view("a\0b", 3)),
              ElementsAre(std::string("a\0b", 3)));
}

TEST(TextWordsTest, ReadsSmallNumbersInTheirOneSpelling) {
  EXPECT_EQ(SmallNumber("0"), 0);
  EXPECT_EQ(SmallNumber("7"), 7);
  EXPECT_EQ(SmallNumber("32"), 32);
  EXPECT_EQ(SmallNumber("255"), 255);
  EXPECT_EQ(SmallNumber("999"), 999);
  for (const char* word : {"", "00", "07", "032", "1000", "-1", "+1", "1a",
                           "a1", " 1", "/", ":"}) {
    EXPECT_EQ(SmallNumber(word), -1) << word;
  }
}

}  // namespace
}  // namespace spanlm
