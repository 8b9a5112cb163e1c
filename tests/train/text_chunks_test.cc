// SPDX-License-Identifier: Apache-2.0
#include "train/text_chunks.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Words of one to twenty letters between blanks of every kind.
std::string Text(size_t size) {
  std::string text;
  uint32_t state = 1;
  const auto draw = [&state](uint32_t bound) {
    state = state * 1664525 + 1013904223;
    return (state >> 16) % bound;
  };
  while (text.size() < size) {
    text.append(draw(20) + 1, static_cast<char>('a' + draw(26)));
    text += std::vector<const char*>{" ",    "\n",       "\r\n",     "\t",
                                     " \n ", "\r\n\r\n", "\xC2\xA0 "}[draw(7)];
  }
  return text;
}

// The chunks in the order of their commits.
absl::StatusOr<std::vector<std::string>> Chunks(
    const std::string& path, const TextChunkOptions& options) {
  std::vector<std::string> chunks;
  std::vector<std::string> works(static_cast<size_t>(options.threads));
  const absl::Status status = ReadTextChunks(
      path, options,
      [&works](int thread, absl::string_view text) {
        works[static_cast<size_t>(thread)] = std::string(text);
        return absl::OkStatus();
      },
      [&](int thread, int64_t bytes) {
        chunks.push_back(works[static_cast<size_t>(thread)]);
        EXPECT_EQ(bytes, static_cast<int64_t>(chunks.back().size()));
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return chunks;
}

TEST(TextChunksTest, ArePiecesOfTheTextInItsOrder) {
  const TempDir folder;
  const std::string text = Text(3000);
  const std::string path = folder.Write("text", text);
  for (const int threads : {1, 2, 5}) {
    for (const int64_t bytes : {1, 7, 64, 1000, 2999, 3000, 100'000}) {
      ASSERT_OK_AND_ASSIGN(const auto chunks, Chunks(path, {threads, bytes}));

      std::string joined;
      for (const std::string& chunk : chunks) {
        joined += chunk;
        const bool ends_well =
            chunk.empty() || joined.size() == text.size() ||
            std::string(" \n\t").find(chunk.back()) != std::string::npos;
        EXPECT_TRUE(ends_well) << chunk;
      }
      EXPECT_EQ(joined, text) << threads << " threads, " << bytes << " bytes";
    }
  }
}

TEST(TextChunksTest, AreAboutAsLargeAsTheySay) {
  const TempDir folder;
  const std::string path = folder.Write("text", Text(3000));

  ASSERT_OK_AND_ASSIGN(const auto chunks, Chunks(path, {1, 100}));

  EXPECT_GE(chunks.size(), 30);
  for (const std::string& chunk : chunks) EXPECT_LE(chunk.size(), 125);
}

TEST(TextChunksTest, AnEmptyFileHasNone) {
  const TempDir folder;
  ASSERT_OK_AND_ASSIGN(const auto chunks,
                       Chunks(folder.Write("text", ""), {2, 10}));
  EXPECT_TRUE(chunks.empty());
}

TEST(TextChunksTest, AWordMayBeLongerThanAChunk) {
  const TempDir folder;
  const std::string text = "ab " + std::string(50, 'x') + " cd";
  const std::string path = folder.Write("text", text);

  ASSERT_OK_AND_ASSIGN(const auto chunks, Chunks(path, {2, 10}));

  EXPECT_THAT(chunks, testing::ElementsAre("ab " + std::string(50, 'x') + " ",
                                           "", "", "", "", "cd"));
}

TEST(TextChunksTest, RefusesAWordThatFillsMemoryAndNamesItsPlace) {
  const TempDir folder;
  TextChunkOptions options;
  options.chunk_bytes = 10;
  options.max_word_bytes = 100;
  const std::string path = folder.Write("text", std::string(1000, 'x'));

  for (const int threads : {1, 3}) {
    options.threads = threads;
    EXPECT_THAT(Chunks(path, options),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr(path), HasSubstr("the 100 bytes from "
                                                          "byte 10 on"))));
  }
}

TEST(TextChunksTest, NamesAMissingFile) {
  const TempDir folder;
  EXPECT_THAT(Chunks(folder.File("none"), {}),
              StatusIs(absl::StatusCode::kNotFound, "none"));
}

// Fails from the number 300 on, by the first number of the chunk.
absl::Status FailFrom300(absl::string_view text) {
  const int number = std::stoi(std::string(text));
  if (number < 300) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("at ", number));
}

TEST(TextChunksTest, ReturnsTheFirstErrorInTheOrderOfTheText) {
  const TempDir folder;
  std::string text;
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&text, i, " ");
  const std::string path = folder.Write("text", text);
  ASSERT_OK_AND_ASSIGN(const auto chunks, Chunks(path, {1, 16}));
  size_t first = 0;
  while (FailFrom300(chunks[first]).ok()) ++first;

  for (int repeat = 0; repeat < 50; ++repeat) {
    size_t commits = 0;
    const absl::Status status = ReadTextChunks(
        path, {4, 16},
        [](int /*thread*/, absl::string_view piece) {
          return FailFrom300(piece);
        },
        [&commits](int /*thread*/, int64_t /*bytes*/) {
          ++commits;
          return absl::OkStatus();
        });

    ASSERT_EQ(status, FailFrom300(chunks[first]));
    ASSERT_EQ(commits, first);
  }
}

TEST(TextChunksTest, StopsAtAnErrorOfACommit) {
  const TempDir folder;
  const std::string path = folder.Write("text", Text(3000));
  int commits = 0;

  const absl::Status status = ReadTextChunks(
      path, {3, 10},
      [](int /*thread*/, absl::string_view /*text*/) {
        return absl::OkStatus();
      },
      [&commits](int /*thread*/, int64_t /*bytes*/) {
        return ++commits == 5 ? absl::UnavailableError("disk full")
                              : absl::OkStatus();
      });

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "disk full"));
  EXPECT_EQ(commits, 5);
}

}  // namespace
}  // namespace spanlm
