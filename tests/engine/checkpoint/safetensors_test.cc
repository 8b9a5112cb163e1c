// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/safetensors.h"

#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<TensorData> TwoTensors() {
  return {{"b", DType::kF16, {3}, "abcdef"},
          {"a", DType::kF32, {2, 1}, "ABCDEFGH"}};
}

std::string File(const std::string& header, const std::string& data) {
  std::string file(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(file.data(), &size, 8);
  return file + header + data;
}

// A file whose one tensor "t" is described by `entry`, before 8 bytes of data.
std::string WithEntry(const std::string& entry) {
  return File("{\"t\":" + entry + "}", "01234567");
}

absl::StatusOr<Safetensors> OpenBytes(const std::string& bytes) {
  const TempDir folder;
  return Safetensors::Open(folder.Write("m.safetensors", bytes));
}

std::string BytesOf(const TensorView& view) {
  return {reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()};
}

TEST(SafetensorsTest, ReadsBackWhatItWrote) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes,
                       SerializeSafetensors(TwoTensors()));
  ASSERT_OK_AND_ASSIGN(const Safetensors file, OpenBytes(bytes));

  EXPECT_THAT(file.names(), ElementsAre("a", "b"));
  ASSERT_OK_AND_ASSIGN(const TensorView a, file.Find("a"));
  EXPECT_EQ(a.dtype, DType::kF32);
  EXPECT_THAT(a.shape, ElementsAre(2, 1));
  EXPECT_EQ(BytesOf(a), "ABCDEFGH");
  ASSERT_OK_AND_ASSIGN(const TensorView b, file.Find("b"));
  EXPECT_EQ(b.dtype, DType::kF16);
  EXPECT_EQ(BytesOf(b), "abcdef");
}

// What the Python package checks when it opens a file.
TEST(SafetensorsTest, WritesTheFormatsRules) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes,
                       SerializeSafetensors(TwoTensors()));
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), 8);
  const std::string header = bytes.substr(8, size);

  EXPECT_EQ(size % 8, 0U);
  EXPECT_EQ(header.front(), '{');
  EXPECT_EQ(header.find_last_not_of(' '), header.rfind('}'));
  EXPECT_EQ(nlohmann::json::parse(header), nlohmann::json::parse(R"({
              "b": {"dtype": "F16", "shape": [3], "data_offsets": [0, 6]},
              "a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [6, 14]}
            })"));
  EXPECT_EQ(bytes.substr(8 + size), "abcdefABCDEFGH");
}

TEST(SafetensorsTest, HoldsNoTensorsScalarsAndEmptyOnes) {
  ASSERT_OK_AND_ASSIGN(const std::string none, SerializeSafetensors({}));
  EXPECT_OK(OpenBytes(none));

  const std::vector<TensorData> tensors = {{"empty", DType::kF32, {0, 5}, ""},
                                           {"one", DType::kU8, {}, "x"},
                                           {"last", DType::kI64, {0}, ""}};
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeSafetensors(tensors));
  ASSERT_OK_AND_ASSIGN(const Safetensors file, OpenBytes(bytes));
  EXPECT_EQ(BytesOf(*file.Find("one")), "x");
  EXPECT_THAT(file.Find("empty")->shape, ElementsAre(0, 5));
}

TEST(SafetensorsTest, SkipsMetadata) {
  ASSERT_OK_AND_ASSIGN(
      const Safetensors file,
      OpenBytes(File(R"({"__metadata__":{"format":"pt"}})", "")));

  EXPECT_TRUE(file.names().empty());
}

TEST(SafetensorsTest, NamesTheFileAndATensorThatIsNotThere) {
  const TempDir folder;
  const std::string path =
      folder.Write("m.safetensors", *SerializeSafetensors({}));
  ASSERT_OK_AND_ASSIGN(const Safetensors file, Safetensors::Open(path));

  EXPECT_THAT(file.Find("w"), StatusIs(absl::StatusCode::kNotFound,
                                       AllOf(HasSubstr(path), HasSubstr("w"))));
}

TEST(SafetensorsTest, RefusesTensorsThatCannotBeWritten) {
  const std::vector<std::pair<TensorData, const char*>> cases = {
      {{"t", DType::kF32, {2}, "1234"}, "tensor t: 4 bytes do not fit F32 [2]"},
      {{"t", DType::kF32, {-1}, ""}, "tensor t"},
      {{"t", DType::kF32, {int64_t{1} << 62, 4}, ""}, "tensor t"},
      {{"", DType::kF32, {0}, ""}, "tensor name"},
      {{"\xff", DType::kF32, {0}, ""}, "tensor name"},
      {{"a b", DType::kF32, {0}, ""}, "tensor name"},
      {{"__metadata__", DType::kF32, {0}, ""}, "tensor name"}};
  for (const auto& [tensor, message] : cases) {
    EXPECT_THAT(SerializeSafetensors({tensor}),
                StatusIs(absl::StatusCode::kInvalidArgument, message));
  }
  const TensorData twice = {"t", DType::kF32, {0}, ""};
  EXPECT_THAT(
      SerializeSafetensors({twice, twice}),
      StatusIs(absl::StatusCode::kInvalidArgument, "tensor t comes twice"));
}

TEST(SafetensorsTest, RefusesHostileHeaders) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "too short"},
      {"1234567", "too short"},
      {std::string(8, '\xff'), "claims"},
      {std::string("\x10\0\0\0\0\0\0\0{}", 10), "claims 16 bytes"},
      {File(std::string((1 << 24) + 8, ' '), ""),
       "claims 16777224 bytes, want at most 16777216"},
      {File("", ""), "not a JSON object"},
      {File("{", ""), "not a JSON object"},
      {File("[]", ""), "not a JSON object"},
      {File("{}x", ""), "not a JSON object"},
      {File("{\"\xff\":1}", ""), "not a JSON object"},
      {File(std::string(1 << 20, '['), ""), "not a JSON object"},
      {File("{}", "x"), "1 bytes follow the last tensor"},
      {File(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
            R"("t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
            "x"),
       "tensor t comes twice"}};
  for (const auto& [bytes, message] : cases) {
    EXPECT_THAT(OpenBytes(bytes),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("m.safetensors"), HasSubstr(message))))
        << bytes.substr(0, 60);
  }
}

TEST(SafetensorsTest, RefusesHostileEntriesAndNamesTheTensor) {
  const std::string good_end = R"(,"data_offsets":[0,8]})";
  const std::string deep(1000, '[');
  const std::string cases[] = {
      "1",
      "{}",
      R"({"dtype":"U8","shape":[8]})",
      R"({"dtype":"U8","shape":[8],"data_offsets":[0,8],"more":1})",
      R"({"dtype":"Q8","shape":[8])" + good_end,
      R"({"dtype":8,"shape":[8])" + good_end,
      R"({"dtype":"U8","shape":8)" + good_end,
      R"({"dtype":"U8","shape":[-8])" + good_end,
      R"({"dtype":"U8","shape":[8.0])" + good_end,
      R"({"dtype":"U8","shape":["8"])" + good_end,
      R"({"dtype":"U8","shape":[9])" + good_end,
      R"({"dtype":"F64","shape":[8])" + good_end,
      R"({"dtype":"U8","shape":[18446744073709551608])" + good_end,
      R"({"dtype":"U8","shape":[4294967296,4294967296,8])" + good_end,
      R"({"dtype":"U8","shape":[8],"data_offsets":[8,0]})",
      R"({"dtype":"U8","shape":[8],"data_offsets":[-8,0]})",
      R"({"dtype":"U8","shape":[8],"data_offsets":[0]})",
      R"({"dtype":"U8","shape":[8],"data_offsets":[0,8,8]})",
      R"({"dtype":"U8","shape":[8],"data_offsets":"0,8"})",
      R"({"dtype":"U8","shape":[8],"data_offsets":[1,9]})",
      R"({"dtype":"U8","shape":[9],"data_offsets":[0,9]})",
      R"({"dtype":"U8","shape":[8],)"
      R"("data_offsets":[18446744073709551608,18446744073709551616]})",
      R"({"dtype":"U8","shape":[[[[8]]]])" + good_end,
  };
  for (const std::string& entry : cases) {
    EXPECT_THAT(
        OpenBytes(WithEntry(entry)),
        StatusIs(absl::StatusCode::kDataLoss,
                 AllOf(HasSubstr("m.safetensors"), HasSubstr("tensor t"))))
        << entry;
  }
}

TEST(SafetensorsTest, RefusesOverlapsAndHoles) {
  const std::string first =
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)";
  const std::string overlap =
      first + R"("b":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}})";
  const std::string hole =
      first + R"("b":{"dtype":"U8","shape":[3],"data_offsets":[5,8]}})";

  for (const std::string& header : {overlap, hole}) {
    EXPECT_THAT(
        OpenBytes(File(header, "01234567")),
        StatusIs(absl::StatusCode::kDataLoss, "tensor b begins at byte"));
  }
}

}  // namespace
}  // namespace spanlm
