// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/stop_matcher.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

// The longest suffix of `text` that is a proper prefix of a sequence.
int HeldByHand(absl::string_view text,
               const std::vector<std::string>& sequences) {
  for (size_t size = text.size(); size > 0; --size) {
    const absl::string_view suffix = text.substr(text.size() - size);
    for (const std::string& sequence : sequences) {
      if (size < sequence.size() && absl::StartsWith(sequence, suffix)) {
        return static_cast<int>(size);
      }
    }
  }
  return 0;
}

// The longest sequence that `text` ends with; −1: none.
int MatchByHand(absl::string_view text,
                const std::vector<std::string>& sequences) {
  int best = -1;
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (absl::EndsWith(text, sequences[i]) &&
        (best < 0 || sequences[i].size() > sequences[best].size())) {
      best = static_cast<int>(i);
    }
  }
  return best;
}

std::string RandomText(std::mt19937* random, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text.push_back(static_cast<char>('a' + (*random)() % 2));
  }
  return text;
}

TEST(StopMatcherTest, NeverMatchesWithoutSequences) {
  StopMatcher matcher({});
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(matcher.Push(static_cast<uint8_t>(byte)), -1);
    EXPECT_EQ(matcher.held(), 0);
  }
}

TEST(StopMatcherTest, HoldsOnlyWhatCouldBecomeAMatch) {
  StopMatcher matcher({"END"});
  const std::string text = "aENxEEN";
  std::vector<int> held;
  for (char c : text) {
    EXPECT_EQ(matcher.Push(static_cast<uint8_t>(c)), -1);
    held.push_back(matcher.held());
  }

  EXPECT_EQ(held, (std::vector<int>{0, 1, 2, 0, 1, 1, 2}));
}

TEST(StopMatcherTest, FindsAnyByteValue) {
  const std::string sequence("\0\xff\x80", 3);
  StopMatcher matcher({sequence});
  EXPECT_EQ(matcher.Push(0), -1);
  EXPECT_EQ(matcher.Push(255), -1);
  EXPECT_EQ(matcher.Push(128), 0);
}

TEST(StopMatcherTest, TheLongestOfThoseThatEndTogetherWins) {
  StopMatcher matcher({"b", "ab", "xab"});
  EXPECT_EQ(matcher.Push('a'), -1);
  EXPECT_EQ(matcher.Push('b'), 1);
}

TEST(StopMatcherTest, FindsAMatchInsideALongerBeginning) {
  StopMatcher matcher({"abcd", "bc"});
  EXPECT_EQ(matcher.Push('a'), -1);
  EXPECT_EQ(matcher.Push('b'), -1);
  EXPECT_EQ(matcher.Push('c'), 1);
}

TEST(StopMatcherTest, TakesLittleMoreMemoryThanItsSequences) {
  std::vector<std::string> sequences;
  for (int i = 0; i < 16; ++i) {
    sequences.emplace_back(256, static_cast<char>(i));
  }

  const StopMatcher matcher(sequences);

  EXPECT_GE(matcher.held_bytes(), 16 * 256);
  EXPECT_LT(matcher.held_bytes(), 32 << 10);
}

TEST(StopMatcherTest, AgreesWithPlainSearchOnRandomTexts) {
  std::mt19937 random(5);
  for (int round = 0; round < 400; ++round) {
    std::vector<std::string> sequences;
    for (uint32_t i = random() % 5; i < 5; ++i) {
      sequences.push_back(RandomText(&random, 1 + random() % 6));
    }
    StopMatcher matcher(sequences);
    std::string text;
    for (int i = 0; i < 60; ++i) {
      text.push_back(static_cast<char>('a' + random() % 2));
      const int match = matcher.Push(static_cast<uint8_t>(text.back()));
      const int want = MatchByHand(text, sequences);
      ASSERT_EQ(match < 0, want < 0) << text;
      if (match >= 0) {
        ASSERT_EQ(sequences[match], sequences[want]) << text;
        break;  // a generation ends here
      }
      ASSERT_EQ(matcher.held(), HeldByHand(text, sequences)) << text;
    }
  }
}

}  // namespace
}  // namespace spanlm
