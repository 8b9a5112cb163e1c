// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/torch_file.h"

#include <zip.h>

#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/checkpoint/pickle_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
namespace text = pickle_text;

std::string Floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()),
          values.size() * sizeof(float)};
}

const char* const kSix = "0";
text::Storages SixFloats() { return {{kSix, Floats({0, 1, 2, 3, 4, 5})}}; }

// The values of the tensor that is `value`, in both containers.
absl::StatusOr<std::vector<float>> ReadBoth(const std::string& value,
                                            const text::Storages& storages) {
  const TempDir folder;
  std::vector<std::vector<float>> both;
  for (const std::string& bytes :
       {text::TorchZip(value, storages), text::TorchStream(value, storages)}) {
    absl::StatusOr<TorchFile> file =
        TorchFile::Open(folder.Write("f.pt", bytes));
    if (!file.ok()) return file.status();
    const Pickle& object = file->object();
    absl::StatusOr<TensorData> tensor =
        file->Read(object.tensor(object.root()), "t");
    if (!tensor.ok()) return tensor.status();
    absl::StatusOr<std::vector<float>> floats = ToFloats(tensor->view());
    if (!floats.ok()) return floats.status();
    both.push_back(*floats);
  }
  EXPECT_EQ(both[0], both[1]);
  return both[0];
}

std::string View(int offset, const std::vector<int64_t>& shape,
                 const std::vector<int64_t>& strides) {
  return text::Tensor(text::Storage("FloatStorage", kSix, 6), offset, shape,
                      strides);
}

TEST(TorchFileTest, ReadsViewsInCOrder) {
  const std::pair<std::string, std::vector<float>> cases[] = {
      {View(0, {2, 3}, {3, 1}), {0, 1, 2, 3, 4, 5}},
      {View(0, {3, 2}, {1, 3}), {0, 3, 1, 4, 2, 5}},  // transposed
      {View(1, {2, 2}, {3, 1}), {1, 2, 4, 5}},        // a slice
      {View(5, {}, {}), {5}},                         // a single number
      {View(2, {1, 3, 1}, {99, 1, 77}), {2, 3, 4}},   // strides of no effect
      {View(4, {3}, {0}), {4, 4, 4}},                 // expanded
      {View(0, {0, 4}, {4, 1}), {}},
      {View(6, {0}, {1}), {}}};
  for (const auto& [value, want] : cases) {
    ASSERT_OK_AND_ASSIGN(const std::vector<float> got,
                         ReadBoth(value, SixFloats()));
    EXPECT_EQ(got, want);
  }
}

TEST(TorchFileTest, RefusesViewsPastTheirStorageAndNamesTheTensor) {
  const int big = 1 << 30;
  for (const std::string& value :
       {View(0, {7}, {1}), View(6, {1}, {1}), View(0, {2, 3}, {4, 1}),
        View(0, {7}, {0}), View(big, {1}, {1}),
        View(0, {big, big, big}, {0, 0, 0}), View(0, {2, 2}, {big, big}),
        View(1, {big, big}, {big, big})}) {
    EXPECT_THAT(ReadBoth(value, SixFloats()),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("f.pt"), HasSubstr("tensor t"),
                               HasSubstr("past its storage"))));
  }
}

TEST(TorchFileTest, RefusesStoragesOfAnotherSizeThanStated) {
  const std::string value =
      text::Tensor(text::Storage("FloatStorage", kSix, 5), 0, {5}, {1});

  EXPECT_THAT(ReadBoth(value, SixFloats()),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(TorchFileTest, RefusesAStorageThatIsNotThere) {
  EXPECT_THAT(ReadBoth(View(0, {6}, {1}), {}),
              StatusIs(absl::StatusCode::kDataLoss, "missing"));
}

TEST(TorchFileTest, KeepsTheStoredPrecision) {
  const TempDir folder;
  const std::string value =
      text::Tensor(text::Storage("HalfStorage", "0", 2), 0, {2}, {1});
  const std::string bytes = {0x00, 0x3c, 0x00, 0x40};  // 1, 2
  for (const std::string& file_bytes :
       {text::TorchZip(value, {{"0", bytes}}),
        text::TorchStream(value, {{"0", bytes}}, 2)}) {
    ASSERT_OK_AND_ASSIGN(TorchFile file,
                         TorchFile::Open(folder.Write("f.pt", file_bytes)));
    ASSERT_OK_AND_ASSIGN(
        const TensorData tensor,
        file.Read(file.object().tensor(file.object().root()), "t"));

    EXPECT_EQ(tensor.dtype, DType::kF16);
    EXPECT_EQ(tensor.bytes, bytes);
  }
}

absl::Status OpenStatus(const std::string& bytes) {
  const TempDir folder;
  return TorchFile::Open(folder.Write("f.pt", bytes)).status();
}

TEST(TorchFileTest, RefusesOtherFilesAndNamesThem) {
  for (const std::string& bytes :
       {std::string(), std::string("text"), std::string("\x80\x02N."),
        text::Pickle(text::Int(1))}) {
    EXPECT_THAT(OpenStatus(bytes),
                StatusIs(absl::StatusCode::kFailedPrecondition, "f.pt"));
  }
  EXPECT_THAT(TorchFile::Open("/nowhere/f.pt"),
              StatusIs(absl::StatusCode::kNotFound, "/nowhere/f.pt"));
}

TEST(TorchFileTest, RefusesBigEndianStreams) {
  std::string bytes = text::TorchStream(text::None(), {});
  bytes.replace(bytes.find("little_endian") + 13, 1, "\x89");

  EXPECT_THAT(OpenStatus(bytes),
              StatusIs(absl::StatusCode::kFailedPrecondition, "big-endian"));
}

// A zip archive of those entries, compressed if asked.
std::string Zip(const text::Storages& entries, bool compressed) {
  const TempDir folder;
  const std::string path = folder.File("z");
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE, nullptr);
  for (const auto& [name, bytes] : entries) {
    const zip_int64_t index = zip_file_add(
        archive, name.c_str(),
        zip_source_buffer(archive, bytes.data(), bytes.size(), 0), 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index),
                             compressed ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
  }
  zip_close(archive);
  return ReadFile(path);
}

TEST(TorchFileTest, RefusesZipArchivesThatTorchDoesNotWrite) {
  const std::string pickle = text::Pickle(text::None());
  EXPECT_THAT(OpenStatus(Zip({{"a/b", "x"}}, false)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "data.pkl"));
  EXPECT_THAT(
      OpenStatus(Zip({{"a/data.pkl", pickle}, {"a/byteorder", "big"}}, false)),
      StatusIs(absl::StatusCode::kFailedPrecondition, "big-endian"));
  // A megabyte of zeros in a kilobyte: no bombs.
  EXPECT_THAT(
      OpenStatus(Zip({{"a/data.pkl", std::string(1 << 20, '\0')}}, true)),
      StatusIs(absl::StatusCode::kDataLoss, "compressed"));
  EXPECT_OK(OpenStatus(
      Zip({{"a/data.pkl", pickle}, {"a/byteorder", "little"}}, false)));
}

TEST(TorchFileTest, NoticesAChangedByteInAStorageOfAZip) {
  const TempDir folder;
  std::string bytes = text::TorchZip(View(0, {6}, {1}), SixFloats());
  const size_t place = bytes.find(SixFloats()[kSix]);
  bytes[place + 8] ^= 1;

  ASSERT_OK_AND_ASSIGN(TorchFile file,
                       TorchFile::Open(folder.Write("f.pt", bytes)));
  EXPECT_THAT(file.Read(file.object().tensor(file.object().root()), "t"),
              StatusIs(absl::StatusCode::kDataLoss, "CRC"));
}

TEST(TorchFileTest, ReadsViewsOfStoragesInStreams) {
  const TempDir folder;
  const std::string storage =
      text::Tuple(
          {text::Text("storage"), text::Global("torch", "FloatStorage"),
           text::Text(kSix), text::Text("cpu"), text::Int(6),
           text::Tuple({text::Text("v"), text::Int(2), text::Int(3)})}) +
      "Q";
  const std::string bytes =
      text::TorchStream(text::Tensor(storage, 1, {2}, {1}), SixFloats());

  ASSERT_OK_AND_ASSIGN(TorchFile file,
                       TorchFile::Open(folder.Write("f.pt", bytes)));
  ASSERT_OK_AND_ASSIGN(
      const TensorData tensor,
      file.Read(file.object().tensor(file.object().root()), "t"));
  EXPECT_EQ(tensor.bytes, Floats({3, 4}));
}

}  // namespace
}  // namespace spanlm
