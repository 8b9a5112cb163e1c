// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/torch_zip_writer.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/checkpoint/import/torch_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::ElementsAre;

// Two tensors, the second twice.
absl::StatusOr<std::string> SmallFile() {
  TorchZipWriter file;
  const PickleValue first = file.AddTensor({3}, {1.0F, 2.0F, 3.0F});
  const PickleValue second = file.AddTensor({2, 1}, {4.0F, 5.0F});
  return std::move(file).Finish(PickleValue::OrderedDict(
      {Named("first", first), Named("second", second), Named("again", second),
       Named("none", PickleValue::None())}));
}

std::vector<float> Floats(const TensorData& tensor) {
  return *ToFloats(tensor.view());
}

class TorchZipWriterTest : public testing::Test {
 protected:
  absl::StatusOr<TensorData> Read(TorchFile* file, const std::string& name) {
    const PickleNode* node = file->object().Find(file->object().root(), name);
    if (node == nullptr) return absl::NotFoundError(name);
    return file->Read(file->object().tensor(*node), name);
  }

  const TempDir folder_;
};

TEST_F(TorchZipWriterTest, IsReadBackByTheImporter) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SmallFile());
  ASSERT_OK_AND_ASSIGN(TorchFile file,
                       TorchFile::Open(folder_.Write("f.pt", bytes)));

  ASSERT_OK_AND_ASSIGN(const TensorData first, Read(&file, "first"));
  ASSERT_OK_AND_ASSIGN(const TensorData again, Read(&file, "again"));

  EXPECT_THAT(Floats(first), ElementsAre(1, 2, 3));
  EXPECT_THAT(Floats(again), ElementsAre(4, 5));
  EXPECT_THAT(again.shape, ElementsAre(2, 1));
  EXPECT_EQ(file.object().storages().size(), 3U);  // mentions, not memory
}

TEST_F(TorchZipWriterTest, EqualCallsMakeEqualFiles) {
  ASSERT_OK_AND_ASSIGN(const std::string first, SmallFile());
  ASSERT_OK_AND_ASSIGN(const std::string second, SmallFile());

  EXPECT_EQ(first, second);
}

// Where an entry's data begin: behind its 30 bytes of header, name and padding.
TEST_F(TorchZipWriterTest, DataBeginAtMultiplesOfTheAlignment) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SmallFile());

  int entries = 0;
  for (size_t at = bytes.find("PK\x03\x04"); at != std::string::npos;
       at = bytes.find("PK\x03\x04", at + 1)) {
    uint16_t name_size = 0;
    uint16_t extra_size = 0;
    std::memcpy(&name_size, bytes.data() + at + 26, 2);
    std::memcpy(&extra_size, bytes.data() + at + 28, 2);
    EXPECT_EQ((at + 30 + name_size + extra_size) % 64, 0U);
    ++entries;
  }
  EXPECT_EQ(entries, 5);  // object, byte order, two storages, version
}

TEST_F(TorchZipWriterTest, BeginsWithTheObject) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SmallFile());

  EXPECT_EQ(bytes.substr(30, 16), "archive/data.pkl");
}

}  // namespace
}  // namespace spanlm
