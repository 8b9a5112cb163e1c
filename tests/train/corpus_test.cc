// SPDX-License-Identifier: Apache-2.0
#include "train/corpus.h"

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/train/tiny_run.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Text(absl::Span<const uint8_t> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

class CorpusTest : public testing::Test {
 protected:
  const TempDir folder_;
  const std::string path_ = WriteCorpus(folder_, "train text", "valid");
};

TEST_F(CorpusTest, HoldsTheBytesOfEveryPart) {
  ASSERT_OK_AND_ASSIGN(const Corpus corpus, Corpus::Open(path_));

  EXPECT_EQ(Text(corpus.train()), "train text");
  EXPECT_EQ(Text(corpus.valid()), "valid");
  EXPECT_EQ(Text(corpus.test()), "");
}

TEST_F(CorpusTest, NamesAMissingFolderAndSaysWhatWritesIt) {
  EXPECT_THAT(
      Corpus::Open(folder_.File("none")),
      StatusIs(absl::StatusCode::kNotFound,
               AllOf(HasSubstr("none/corpus.json"), HasSubstr("preprocess"))));
}

TEST_F(CorpusTest, NamesAMissingPart) {
  std::filesystem::remove(path_ + "/valid.bytes");
  EXPECT_THAT(Corpus::Open(path_),
              StatusIs(absl::StatusCode::kNotFound, "valid.bytes"));
}

TEST_F(CorpusTest, RefusesAPartOfAnotherSize) {
  folder_.Write("corpus/train.bytes", "train tex");
  EXPECT_THAT(Corpus::Open(path_),
              StatusIs(absl::StatusCode::kDataLoss,
                       "train.bytes has 9 bytes, corpus.json says 10"));
}

TEST_F(CorpusTest, RefusesADescriptionWithoutSizes) {
  const struct {
    const char* json;
    const char* message;
  } cases[] = {
      {"", "no object \"splits\""},
      {"[]", "no object \"splits\""},
      {R"({"splits": 3})", "no object \"splits\""},
      {R"({"splits": {}})", "no size of part train"},
      {R"({"splits": {"train": {"bytes": -10}}})", "no size of part train"},
      {R"({"splits": {"train": {"bytes": 10}}})", "no size of part valid"},
  };
  for (const auto& c : cases) {
    folder_.Write("corpus/corpus.json", c.json);
    EXPECT_THAT(Corpus::Open(path_),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("corpus.json"), HasSubstr(c.message))))
        << c.json;
  }
}

}  // namespace
}  // namespace spanlm
