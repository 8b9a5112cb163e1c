// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/mapped_file.h"

#include <sys/stat.h>

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

std::string TextOf(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()),
          file.bytes().size()};
}

TEST(MappedFileTest, ShowsTheFilesBytes) {
  const TempDir folder;
  ASSERT_OK_AND_ASSIGN(const MappedFile file,
                       MappedFile::Open(folder.Write("f", "some bytes")));

  EXPECT_EQ(TextOf(file), "some bytes");
}

TEST(MappedFileTest, MapsAnEmptyFile) {
  const TempDir folder;
  ASSERT_OK_AND_ASSIGN(const MappedFile file,
                       MappedFile::Open(folder.Write("f", "")));

  EXPECT_TRUE(file.bytes().empty());
}

TEST(MappedFileTest, MovesItsMapping) {
  const TempDir folder;
  ASSERT_OK_AND_ASSIGN(MappedFile first,
                       MappedFile::Open(folder.Write("a", "first")));
  ASSERT_OK_AND_ASSIGN(MappedFile second,
                       MappedFile::Open(folder.Write("b", "second")));

  second = std::move(first);
  const MappedFile third = std::move(second);

  EXPECT_EQ(TextOf(third), "first");
}

TEST(MappedFileTest, SurvivesTheFilesReplacement) {
  const TempDir folder;
  const std::string path = folder.Write("f", "old");
  ASSERT_OK_AND_ASSIGN(const MappedFile file, MappedFile::Open(path));

  std::filesystem::rename(folder.Write("g", "new"), path);

  EXPECT_EQ(TextOf(file), "old");
}

TEST(MappedFileTest, RefusesWhatIsNotThereOrNoFile) {
  const TempDir folder;
  const std::string missing = folder.File("missing");
  const std::string pipe = folder.File("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);

  EXPECT_THAT(MappedFile::Open(missing),
              StatusIs(absl::StatusCode::kNotFound, missing.c_str()));
  EXPECT_THAT(MappedFile::Open(folder.path()),
              StatusIs(absl::StatusCode::kNotFound, "not a regular file"));
  EXPECT_THAT(MappedFile::Open(pipe),
              StatusIs(absl::StatusCode::kNotFound, "not a regular file"));
}

}  // namespace
}  // namespace spanlm
