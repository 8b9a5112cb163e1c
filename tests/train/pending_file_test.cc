// SPDX-License-Identifier: Apache-2.0
#include "train/pending_file.h"

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

int64_t FileCount(const TempDir& folder) {
  return std::distance(std::filesystem::directory_iterator(folder.path()), {});
}

TEST(PendingFileTest, TakesItsNameOnlyInCommit) {
  const TempDir folder;
  const std::string path = folder.Write("a", "old");
  PendingFile file(path);
  ASSERT_OK(file.Append("new "));
  ASSERT_OK(file.Append("text"));
  EXPECT_EQ(ReadFile(path), "old");

  ASSERT_OK(file.Commit());

  EXPECT_EQ(ReadFile(path), "new text");
  EXPECT_EQ(FileCount(folder), 1);
}

TEST(PendingFileTest, LeavesNothingWithoutCommit) {
  const TempDir folder;
  {
    PendingFile file(folder.File("a"));
    ASSERT_OK(file.Append("text"));
    EXPECT_EQ(FileCount(folder), 1);
  }
  EXPECT_EQ(FileCount(folder), 0);
}

TEST(PendingFileTest, ReadsAndReplacesWhatWasAppended) {
  const TempDir folder;
  PendingFile file(folder.File("a"));
  ASSERT_OK(file.Append("0123456789"));
  std::string part(3, '\0');

  ASSERT_OK(file.ReadAt(4, part.data(), part.size()));
  ASSERT_OK(file.WriteAt(1, "xyz"));
  ASSERT_OK(file.Append("ab"));
  ASSERT_OK(file.Commit());

  EXPECT_EQ(part, "456");
  EXPECT_EQ(ReadFile(folder.File("a")), "0xyz456789ab");
}

TEST(PendingFileTest, RefusesToReadWhatIsNotThere) {
  const TempDir folder;
  PendingFile file(folder.File("a"));
  ASSERT_OK(file.Append("0123"));
  std::string part(3, '\0');

  EXPECT_THAT(
      file.ReadAt(2, part.data(), part.size()),
      StatusIs(absl::StatusCode::kUnavailable, "1 bytes at 4 are not there"));
}

TEST(PendingFileTest, NamesTheFileItCannotMake) {
  const TempDir folder;
  for (const bool commit : {false, true}) {
    PendingFile file(folder.File("none/a"));
    EXPECT_THAT(commit ? file.Commit() : file.Append("text"),
                StatusIs(absl::StatusCode::kUnavailable, "none/a"));
  }
}

}  // namespace
}  // namespace spanlm
