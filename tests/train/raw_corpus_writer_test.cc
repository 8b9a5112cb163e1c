// SPDX-License-Identifier: Apache-2.0
#include "train/raw_corpus_writer.h"

#include <filesystem>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

constexpr char kEmptySha256[] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
// Of "abc", FIPS 180-4's example.
constexpr char kAbcSha256[] =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

void Ignore(int64_t /*done*/) {}

TEST(RawCorpusWriterTest, SplitsAsEnwik8Does) {
  const CorpusSplit whole = DefaultSplit(100'000'000);
  const CorpusSplit prefix = DefaultSplit(4'154'399);
  const CorpusSplit tiny = DefaultSplit(1);

  EXPECT_EQ(whole.train, 90'000'000);
  EXPECT_EQ(whole.valid, 5'000'000);
  EXPECT_EQ(whole.test, 5'000'000);
  EXPECT_EQ(prefix.train, 3'738'959);
  EXPECT_EQ(prefix.train + prefix.valid, 3'946'679);
  EXPECT_EQ(prefix.total(), 4'154'399);
  EXPECT_EQ(tiny.test, 1);
  EXPECT_EQ(DefaultSplit(0).total(), 0);
}

TEST(RawCorpusWriterTest, DefaultSplitHoldsForTheLargestSize) {
  const int64_t size = std::numeric_limits<int64_t>::max() - 20;

  EXPECT_EQ(DefaultSplit(size).total(), size);
  EXPECT_GT(DefaultSplit(size).test, 0);
}

TEST(RawCorpusWriterTest, ReadsASplitWithZeros) {
  ASSERT_OK_AND_ASSIGN(const CorpusSplit split, ParseSplit("7,0,3"));

  EXPECT_EQ(split.train, 7);
  EXPECT_EQ(split.valid, 0);
  EXPECT_EQ(split.test, 3);
}

TEST(RawCorpusWriterTest, RefusesWhatIsNoSplitAndQuotesIt) {
  for (const char* text :
       {"", "1,2", "1,2,3,4", "1,-2,3", "a,b,c", "1,2,", "1.5,2,3",
        "9223372036854775807,9223372036854775807,2"}) {
    EXPECT_THAT(ParseSplit(text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         absl::StrCat("--split ", text).c_str()))
        << text;
  }
}

TEST(RawCorpusWriterTest, WritesConsecutivePartsAndTheirDescription) {
  const TempDir folder;
  const std::string source = folder.Write("text.raw", "abcdefgh");
  const std::string corpus = folder.File("a/corpus");

  ASSERT_OK(WriteRawCorpus(source, corpus, {3, 0, 4}, Ignore));

  EXPECT_EQ(ReadFile(corpus + "/train.bytes"), "abc");
  EXPECT_EQ(ReadFile(corpus + "/valid.bytes"), "");
  EXPECT_EQ(ReadFile(corpus + "/test.bytes"), "defg");
  const auto json = nlohmann::json::parse(ReadFile(corpus + "/corpus.json"));
  EXPECT_EQ(json["format_version"], kRawCorpusFormatVersion);
  EXPECT_EQ(json["origin"], "text.raw");
  EXPECT_EQ(json["splits"]["train"]["bytes"], 3);
  EXPECT_EQ(json["splits"]["train"]["sha256"], kAbcSha256);
  EXPECT_EQ(json["splits"]["valid"]["bytes"], 0);
  EXPECT_EQ(json["splits"]["valid"]["sha256"], kEmptySha256);
  EXPECT_EQ(json["splits"]["test"]["bytes"], 4);
}

TEST(RawCorpusWriterTest, CopiesTextLongerThanItsBuffer) {
  const TempDir folder;
  std::string text;
  while (text.size() < 3'000'001) absl::StrAppend(&text, text.size(), " ");
  const std::string source = folder.Write("text.raw", text);
  const auto size = static_cast<int64_t>(text.size());
  int64_t last = 0;

  ASSERT_OK(WriteRawCorpus(source, folder.File("c"), {size - 5, 0, 5},
                           [&last](int64_t done) { last = done; }));

  EXPECT_EQ(ReadFile(folder.File("c/train.bytes")) +
                ReadFile(folder.File("c/test.bytes")),
            text);
  EXPECT_EQ(last, size);
}

TEST(RawCorpusWriterTest, LeavesNoTemporaryFile) {
  const TempDir folder;
  const std::string source = folder.Write("text.raw", "abcdefgh");

  ASSERT_OK(WriteRawCorpus(source, folder.File("c"), {3, 3, 2}, Ignore));

  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder.File("c"))) {
    EXPECT_THAT(entry.path().string(),
                testing::Not(testing::HasSubstr(".tmp")));
    ++files;
  }
  EXPECT_EQ(files, 4);
}

TEST(RawCorpusWriterTest, RefusesASplitLargerThanTheFileAndNamesBothSizes) {
  const TempDir folder;
  const std::string source = folder.Write("text.raw", "abcdefgh");

  const absl::Status status =
      WriteRawCorpus(source, folder.File("c"), {5, 3, 1}, Ignore);

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               "5 + 3 + 1 = 9 bytes, the file has 8"));
  EXPECT_FALSE(std::filesystem::exists(folder.File("c")));
}

TEST(RawCorpusWriterTest, RefusesAMissingFileAndAFolder) {
  const TempDir folder;

  EXPECT_THAT(WriteRawCorpus(folder.File("no"), folder.File("c"), {}, Ignore),
              StatusIs(absl::StatusCode::kNotFound, "no: no such file"));
  EXPECT_THAT(WriteRawCorpus(folder.path(), folder.File("c"), {}, Ignore),
              StatusIs(absl::StatusCode::kNotFound, "no such file"));
}

TEST(RawCorpusWriterTest, SaysWhichFolderItCannotMake) {
  const TempDir folder;
  const std::string source = folder.Write("text.raw", "abc");

  EXPECT_THAT(WriteRawCorpus(source, source + "/c", {3, 0, 0}, Ignore),
              StatusIs(absl::StatusCode::kUnavailable, "text.raw/c"));
}

TEST(RawCorpusWriterTest, RemovesTheOldDescriptionWhenItFailsMidway) {
  const TempDir folder;
  const std::string source = folder.Write("text.raw", "abcdefgh");
  ASSERT_OK(WriteRawCorpus(source, folder.File("c"), {3, 3, 2}, Ignore));
  // A folder in the place of a part makes its rename fail.
  std::filesystem::remove(folder.File("c/valid.bytes"));
  std::filesystem::create_directories(folder.File("c/valid.bytes/x"));

  EXPECT_THAT(WriteRawCorpus(source, folder.File("c"), {2, 3, 3}, Ignore),
              StatusIs(absl::StatusCode::kUnavailable, "valid.bytes: rename"));
  EXPECT_FALSE(std::filesystem::exists(folder.File("c/corpus.json")));
}

}  // namespace
}  // namespace spanlm
