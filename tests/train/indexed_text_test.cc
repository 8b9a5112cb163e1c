// SPDX-License-Identifier: Apache-2.0
#include "train/indexed_text.h"

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

constexpr size_t kHeader = 26;
constexpr int32_t kSymbols = 10;

template <typename T>
void Put(T value, size_t place, std::string* bytes) {
  std::memcpy(bytes->data() + place, &value, sizeof(value));
}

// Three lines of 3, 1 and 4 ids.
class IndexedTextTest : public testing::Test {
 protected:
  void SetUp() override {
    auto writer = IndexedTextWriter::Create(prefix_);
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->Append({5, 6}, {}));
    ASSERT_OK((*writer)->Append({2, 2, 9}, {3, 1}));
    ASSERT_OK((*writer)->Append({8, 3, 2}, {4}));
    ASSERT_OK((*writer)->Finish());
    index_ = ReadFile(prefix_ + ".idx");
    data_ = ReadFile(prefix_ + ".bin");
  }

  size_t SizePlace(size_t line) const { return kHeader + 4 * line; }
  size_t OffsetPlace(size_t line) const { return kHeader + 4 * 3 + 8 * line; }

  absl::StatusOr<IndexedText> Open(const std::string& index,
                                   const std::string& data) {
    folder_.Write("part.idx", index);
    folder_.Write("part.bin", data);
    return IndexedText::Open(prefix_, kSymbols);
  }

  // Expects that an index in which `value` stands at `place` is refused.
  template <typename T>
  void ExpectRefused(T value, size_t place, absl::StatusCode code,
                     const std::string& message) {
    std::string index = index_;
    Put(value, place, &index);
    EXPECT_THAT(
        Open(index, data_),
        StatusIs(code, AllOf(HasSubstr("part.idx: "), HasSubstr(message))));
  }

  const TempDir folder_;
  const std::string prefix_ = folder_.File("part");
  std::string index_, data_;
};

TEST_F(IndexedTextTest, ReadsWhatWasWritten) {
  ASSERT_OK_AND_ASSIGN(const IndexedText text,
                       IndexedText::Open(prefix_, kSymbols));

  EXPECT_THAT(text.tokens(), ElementsAre(5, 6, 2, 2, 9, 8, 3, 2));
  EXPECT_EQ(text.line_count(), 3);
}

TEST_F(IndexedTextTest, IsWrittenAsDescribed) {
  std::string index("MMIDIDX\0\0", 9);
  index.resize(kHeader + 3 * (4 + 8));
  Put<uint64_t>(1, 9, &index);
  Put<uint8_t>(8, 17, &index);
  Put<uint64_t>(3, 18, &index);
  for (size_t i = 0; i < 3; ++i) {
    Put<int32_t>(std::vector<int32_t>{3, 1, 4}[i], SizePlace(i), &index);
    Put<int64_t>(std::vector<int64_t>{0, 6, 8}[i], OffsetPlace(i), &index);
  }

  EXPECT_EQ(index_, index);
  EXPECT_EQ(data_.size(), 16);
}

TEST_F(IndexedTextTest, HoldsNoLine) {
  ASSERT_OK_AND_ASSIGN(const auto writer,
                       IndexedTextWriter::Create(folder_.File("empty")));
  ASSERT_OK(writer->Finish());

  ASSERT_OK_AND_ASSIGN(const IndexedText text,
                       IndexedText::Open(folder_.File("empty"), kSymbols));

  EXPECT_TRUE(text.tokens().empty());
  EXPECT_EQ(text.line_count(), 0);
}

// More lines than are read back at once.
TEST_F(IndexedTextTest, HoldsManyLines) {
  constexpr int kLines = 200'000;
  ASSERT_OK_AND_ASSIGN(const auto writer,
                       IndexedTextWriter::Create(folder_.File("many")));
  for (int i = 0; i < kLines; ++i) {
    const bool is_long = i % 3 == 0;
    const std::vector<uint16_t> tokens(is_long ? 2 : 1, 2);
    ASSERT_OK(writer->Append(tokens, {is_long ? 2 : 1}));
  }
  ASSERT_OK(writer->Finish());

  ASSERT_OK_AND_ASSIGN(const IndexedText text,
                       IndexedText::Open(folder_.File("many"), kSymbols));

  EXPECT_EQ(text.line_count(), kLines);
  EXPECT_EQ(text.tokens().size(), kLines + (kLines + 2) / 3);
}

TEST_F(IndexedTextTest, AnUnfinishedTextLeavesTheOldOne) {
  {
    ASSERT_OK_AND_ASSIGN(const auto writer, IndexedTextWriter::Create(prefix_));
    ASSERT_OK(writer->Append({2}, {1}));
  }

  EXPECT_EQ(ReadFile(prefix_ + ".idx"), index_);
  EXPECT_EQ(ReadFile(prefix_ + ".bin"), data_);
  EXPECT_EQ(
      std::distance(std::filesystem::directory_iterator(folder_.path()), {}),
      2);
}

TEST_F(IndexedTextTest, DropsTheOldIndexWhereItsDataCannotBeReplaced) {
  std::filesystem::remove(prefix_ + ".bin");
  std::filesystem::create_directories(prefix_ + ".bin/x");
  ASSERT_OK_AND_ASSIGN(const auto writer, IndexedTextWriter::Create(prefix_));

  EXPECT_THAT(writer->Finish(),
              StatusIs(absl::StatusCode::kUnavailable, "part.bin: rename"));
  EXPECT_FALSE(std::filesystem::exists(prefix_ + ".idx"));
}

TEST_F(IndexedTextTest, NamesTheFileThatIsMissing) {
  std::filesystem::remove(prefix_ + ".bin");
  EXPECT_THAT(IndexedText::Open(prefix_, kSymbols),
              StatusIs(absl::StatusCode::kNotFound, "part.bin"));
  std::filesystem::remove(prefix_ + ".idx");
  EXPECT_THAT(IndexedText::Open(prefix_, kSymbols),
              StatusIs(absl::StatusCode::kNotFound, "part.idx"));
  EXPECT_THAT(IndexedTextWriter::Create(folder_.File("none/part")),
              StatusIs(absl::StatusCode::kUnavailable, "none/part.bin"));
}

TEST_F(IndexedTextTest, RefusesAnotherKindOfIndex) {
  ExpectRefused('m', 0, absl::StatusCode::kDataLoss,
                "does not begin with MMIDIDX");
  ExpectRefused<uint64_t>(2, 9, absl::StatusCode::kFailedPrecondition,
                          "version 2, want 1");
  ExpectRefused<uint8_t>(4, 17, absl::StatusCode::kFailedPrecondition,
                         "type 4, want 8 (uint16)");
  EXPECT_THAT(Open(std::string("TNTIDX\0\0", 8), data_),
              StatusIs(absl::StatusCode::kFailedPrecondition, "want mmap"));
}

TEST_F(IndexedTextTest, RefusesAnIndexOfAnotherLength) {
  const auto refused = [this](const std::string& index,
                              const std::string& message) {
    EXPECT_THAT(Open(index, data_),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("part.idx: "), HasSubstr(message))));
  };
  refused("", "has 0 bytes, its header 26");
  refused(index_.substr(0, 25), "has 25 bytes, its header 26");
  refused(index_.substr(0, SizePlace(0)), "before the size of line 1 (of 3)");
  refused(index_.substr(0, SizePlace(2) + 3), "the size of line 3 (of 3)");
  refused(index_.substr(0, OffsetPlace(0)), "the place of line 1 (of 3)");
  refused(index_.substr(0, OffsetPlace(3) - 1), "the place of line 3 (of 3)");
  refused(index_ + "x", "goes on for 1 bytes behind its last line, 3");
  for (const uint64_t lines :
       {uint64_t{4}, uint64_t{1} << 62, ~uint64_t{0}, ~uint64_t{0} / 12 + 2}) {
    ExpectRefused(lines, 18, absl::StatusCode::kDataLoss, "ends before");
  }
  ExpectRefused<uint64_t>(2, 18, absl::StatusCode::kDataLoss,
                          "goes on for 12 bytes behind its last line, 2");
}

TEST_F(IndexedTextTest, NamesTheLineThatIsWrong) {
  constexpr auto kDamaged = absl::StatusCode::kDataLoss;
  ExpectRefused<int32_t>(0, SizePlace(1), kDamaged, "line 2 has 0 ids");
  ExpectRefused<int32_t>(-4, SizePlace(2), kDamaged, "line 3 has -4 ids");
  ExpectRefused<int64_t>(2, OffsetPlace(0), kDamaged,
                         "line 1 begins at byte 2, want 0");
  ExpectRefused<int64_t>(-6, OffsetPlace(1), kDamaged,
                         "line 2 begins at byte -6, want 6");
  ExpectRefused<int32_t>(
      5, SizePlace(2), kDamaged,
      absl::StrCat("line 3 ends at byte 18, ", prefix_, ".bin has 16 bytes"));
  ExpectRefused<int32_t>(INT32_MAX, SizePlace(0), kDamaged,
                         "line 1 ends at byte 4294967294");
  ExpectRefused<int32_t>(3, SizePlace(2), kDamaged, "line 3 ends in the id 3");
  ExpectRefused<int32_t>(2, SizePlace(0), kDamaged, "line 1 ends in the id 6");
}

TEST_F(IndexedTextTest, NamesTheLineOfAnotherTextsData) {
  const auto refused = [this](const std::string& data,
                              const std::string& message) {
    EXPECT_THAT(Open(index_, data),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("part.idx: "), HasSubstr(message))));
  };
  refused("", "line 1 ends at byte 6");
  refused(data_.substr(0, 14), "line 3 ends at byte 16");
  refused(data_ + "x", "line 3, the last, ends at byte 16");
  refused(data_ + data_, "part.bin has 32 bytes");

  std::string data = data_;
  Put<uint16_t>(kSymbols, 10, &data);
  refused(data, "line 3 has the id 10 as its word 2 in ");
  refused(data, "part.bin, the dictionary has 10 symbols");
  data = data_;
  Put<uint16_t>(7, 6, &data);
  refused(data, "line 2 ends in the id 7");
}

TEST_F(IndexedTextTest, RefusesEveryTruncationAndEveryFlippedByte) {
  for (size_t place = 0; place < index_.size(); ++place) {
    folder_.Write("part.idx", index_.substr(0, place));
    EXPECT_FALSE(IndexedText::Open(prefix_, kSymbols).ok()) << place;
    for (const int flip : {1, 0x80}) {
      std::string index = index_;
      index[place] = static_cast<char>(index[place] ^ flip);
      folder_.Write("part.idx", index);
      EXPECT_FALSE(IndexedText::Open(prefix_, kSymbols).ok()) << place;
    }
  }
}

class IndexedTextGoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(IndexedTextGoldenTest, ReadsFairseqsFiles) {
  const nlohmann::json json = GoldenJson("fairseq_databin/databin.json");
  const nlohmann::json& part = json["splits"][GetParam()];
  ASSERT_OK_AND_ASSIGN(const IndexedText text,
                       IndexedText::Open(GoldenPath(absl::StrCat(
                                             "fairseq_databin/", GetParam())),
                                         json["vocab_size"]));

  EXPECT_EQ(text.line_count(), part["lines"]);
  ASSERT_EQ(text.tokens().size(), part["tokens"]);
  const std::vector<uint16_t> first = part["first_ids"];
  EXPECT_THAT(text.tokens().subspan(0, first.size()), ElementsAreArray(first));
}

INSTANTIATE_TEST_SUITE_P(Parts, IndexedTextGoldenTest,
                         testing::Values("train", "valid", "test"));

}  // namespace
}  // namespace spanlm
