// SPDX-License-Identifier: Apache-2.0
#include "base/atomic_file.h"

#include <filesystem>
#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

TEST(AtomicFileTest, ReplacesAFileAndLeavesNothingElseBehind) {
  TempDir dir;
  const std::string path = dir.Write("file", "old");

  ASSERT_OK(WriteFileAtomically(path, absl::string_view("new\0bytes", 9)));

  EXPECT_EQ(ReadFile(path), std::string("new\0bytes", 9));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()),
                          std::filesystem::directory_iterator()),
            1);
}

TEST(AtomicFileTest, NamesThePathWhenTheFolderIsMissing) {
  TempDir dir;

  EXPECT_THAT(WriteFileAtomically(dir.File("absent/file"), "x"),
              StatusIs(absl::StatusCode::kUnavailable, "absent/file"));
}

TEST(AtomicFileTest, KeepsTheOldThingAndCleansUpWhenRenameFails) {
  TempDir dir;
  std::filesystem::create_directories(dir.File("target/inside"));

  EXPECT_THAT(WriteFileAtomically(dir.File("target"), "x"),
              StatusIs(absl::StatusCode::kUnavailable, "rename"));
  EXPECT_TRUE(std::filesystem::exists(dir.File("target/inside")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()),
                          std::filesystem::directory_iterator()),
            1);
}

TEST(AtomicFileTest, SyncFolderNamesAFolderThatIsNotThere) {
  EXPECT_OK(SyncFolder("."));
  EXPECT_THAT(SyncFolder("no/such/folder"),
              StatusIs(absl::StatusCode::kUnavailable, "no/such/folder"));
}

}  // namespace
}  // namespace spanlm
