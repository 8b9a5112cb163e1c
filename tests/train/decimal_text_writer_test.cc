// SPDX-License-Identifier: Apache-2.0
#include "train/decimal_text_writer.h"

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "train/text_words.h"

namespace spanlm {
namespace {

void Ignore(int64_t /*done*/) {}

// The bytes that decimal text stands for.
std::string Decode(absl::string_view text) {
  std::string bytes;
  ForEachWord(
      text,
      [&bytes](absl::string_view word) {
        bytes.push_back(static_cast<char>(SmallNumber(word)));
      },
      [&bytes] { bytes.push_back('\n'); });
  return bytes;
}

TEST(DecimalTextWriterTest, WritesNumbersAndLineFeedsBetweenBlanks) {
  const TempDir folder;
  const std::string source =
      folder.Write("raw", std::string("Hi\n\n!", 5) + "\n" +
                              std::string("\0\xFF \n", 4) + "left out");
  const std::string corpus = folder.File("a/b");

  ASSERT_OK(WriteDecimalText(source, corpus, {5, 1, 4}, Ignore));

  EXPECT_EQ(ReadFile(corpus + "/train.txt"), "72 105 \n \n 33");
  EXPECT_EQ(ReadFile(corpus + "/valid.txt"), "\n");
  EXPECT_EQ(ReadFile(corpus + "/test.txt"), "0 255 32 \n");
  EXPECT_EQ(ReadFile(corpus + "/train.txt.raw"), "Hi\n\n!");
  EXPECT_EQ(ReadFile(corpus + "/valid.txt.raw"), "\n");
  EXPECT_EQ(ReadFile(corpus + "/test.txt.raw"), std::string("\0\xFF \n", 4));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(corpus), {}), 6);
}

TEST(DecimalTextWriterTest, AnEmptyPartIsAnEmptyFile) {
  const TempDir folder;
  ASSERT_OK(WriteDecimalText(folder.Write("raw", "a"), folder.path(), {1, 0, 0},
                             Ignore));

  EXPECT_EQ(ReadFile(folder.File("train.txt")), "97");
  EXPECT_TRUE(std::filesystem::exists(folder.File("valid.txt")));
  EXPECT_EQ(ReadFile(folder.File("valid.txt")), "");
}

TEST(DecimalTextWriterTest, KeepsEveryByteOfTextLongerThanItsBuffer) {
  const TempDir folder;
  std::string bytes;
  uint32_t state = 7;
  while (bytes.size() < 1'100'000) {
    state = state * 1664525 + 1013904223;
    bytes.push_back(static_cast<char>(state >> 24));
  }
  const auto size = static_cast<int64_t>(bytes.size());
  int64_t last = 0;

  ASSERT_OK(WriteDecimalText(folder.Write("raw", bytes), folder.path(),
                             {size - 3, 1, 2},
                             [&last](int64_t done) { last = done; }));

  const std::string train = ReadFile(folder.File("train.txt"));
  EXPECT_TRUE(Decode(train) == bytes.substr(0, bytes.size() - 3));
  EXPECT_EQ(train.find("  "), std::string::npos);
  EXPECT_EQ(last, size);
}

TEST(DecimalTextWriterTest, RefusesAsWriteRawCorpusDoes) {
  const TempDir folder;
  const std::string source = folder.Write("raw", "abc");

  EXPECT_THAT(WriteDecimalText(source, folder.File("c"), {2, 1, 1}, Ignore),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "2 + 1 + 1 = 4 bytes, the file has 3"));
  EXPECT_THAT(WriteDecimalText(folder.File("no"), folder.File("c"), {}, Ignore),
              StatusIs(absl::StatusCode::kNotFound, "no: no such file"));
  EXPECT_THAT(WriteDecimalText(source, source + "/c", {3, 0, 0}, Ignore),
              StatusIs(absl::StatusCode::kUnavailable, "raw/c"));
  EXPECT_FALSE(std::filesystem::exists(folder.File("c")));
}

}  // namespace
}  // namespace spanlm
