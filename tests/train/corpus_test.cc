// SPDX-License-Identifier: Apache-2.0
#include "train/corpus.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "train/databin_writer.h"
#include "train/raw_corpus_writer.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Text(const SymbolText& text) {
  std::string bytes(static_cast<size_t>(text.size()), 0);
  text.Copy(0, text.size(), bytes.data());
  return bytes;
}

class CorpusTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(WriteRawCorpus(folder_.Write("raw", "train textvalid"), path_,
                             {10, 5, 0}, [](int64_t) {}));
  }

  const TempDir folder_;
  const std::string path_ = folder_.File("corpus");
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

TEST_F(CorpusTest, NamesThePartsOfARawCorpus) {
  ASSERT_OK_AND_ASSIGN(const Corpus corpus, Corpus::Open(path_));

  ASSERT_OK_AND_ASSIGN(const SymbolText valid, corpus.Part("valid"));
  EXPECT_EQ(Text(valid), "valid");
  EXPECT_THAT(corpus.Part("valid1"),
              StatusIs(absl::StatusCode::kNotFound,
                       "no part valid1, want train, valid, test"));
}

TEST_F(CorpusTest, ARawCorpusHasTheBytesForItsVocabulary) {
  ASSERT_OK_AND_ASSIGN(const Corpus corpus, Corpus::Open(path_));
  ModelFields fields;

  ASSERT_OK(corpus.SetVocabulary(&fields));

  EXPECT_EQ(fields.vocab_size, 256);
  EXPECT_EQ(fields.symbols, AllBytes());
  EXPECT_EQ(corpus.dictionary_path(), "");
  EXPECT_EQ(corpus.pad_symbol(), 0);
}

// A binary data directory whose dictionary is 65, 66 and a filler.
class BinaryCorpusTest : public testing::Test {
 protected:
  void SetUp() override {
    DatabinOptions options;
    options.train = folder_.Write("train", "65 65 \n 66");
    options.valid = {folder_.Write("valid", "66\n"),
                     folder_.Write("valid1", "67 65\n")};
    options.dictionary_options.padding_factor = 7;
    options.folder = path_;
    ASSERT_OK(WriteDatabin(options, [](int64_t) {}));
  }

  static std::vector<int> Ids(const SymbolText& text) {
    std::vector<int> ids(static_cast<size_t>(text.size()));
    text.Copy(0, text.size(), ids.data());
    return ids;
  }

  const TempDir folder_;
  const std::string path_ = folder_.File("data-bin");
};

TEST_F(BinaryCorpusTest, HoldsTheIdsOfEveryPart) {
  ASSERT_OK_AND_ASSIGN(const Corpus corpus, Corpus::Open(path_));

  EXPECT_THAT(Ids(corpus.train()), ElementsAre(4, 4, 2, 5, 2));
  EXPECT_THAT(Ids(corpus.valid()), ElementsAre(5, 2));
  EXPECT_EQ(corpus.test().size(), 0);
  ASSERT_OK_AND_ASSIGN(const SymbolText valid1, corpus.Part("valid1"));
  EXPECT_THAT(Ids(valid1), ElementsAre(3, 4, 2));
  EXPECT_THAT(corpus.Part("test"),
              StatusIs(absl::StatusCode::kNotFound,
                       "no part test, want train, valid, valid1"));
}

TEST_F(BinaryCorpusTest, HasItsDictionaryForItsVocabulary) {
  ASSERT_OK_AND_ASSIGN(const Corpus corpus, Corpus::Open(path_));
  ModelFields fields;

  ASSERT_OK(corpus.SetVocabulary(&fields));

  EXPECT_EQ(fields.vocab_size, 7);
  using Byte = std::optional<uint8_t>;
  EXPECT_THAT(fields.symbols, ElementsAre(Byte(), Byte(), Byte(10), Byte(),
                                          Byte(65), Byte(66), Byte()));
  EXPECT_EQ(fields.unknown_symbol, 3);
  EXPECT_EQ(corpus.dictionary_path(), path_ + "/dict.txt");
  EXPECT_EQ(corpus.pad_symbol(), 1);
}

TEST_F(BinaryCorpusTest, RefusesTheVocabularyOfOtherWordsThanBytes) {
  folder_.Write("data-bin/dict.txt", "65 2\nthe 1\nmadeupword0000 0\n");
  ASSERT_OK_AND_ASSIGN(const Corpus corpus, Corpus::Open(path_));
  ModelFields fields;

  EXPECT_THAT(corpus.SetVocabulary(&fields),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "dict.txt, line 2: the, want a byte"));
}

TEST_F(BinaryCorpusTest, RefusesDamagedFilesAndNamesThem) {
  const std::string dictionary = ReadFile(path_ + "/dict.txt");
  folder_.Write("data-bin/dict.txt", "65\n");
  EXPECT_THAT(Corpus::Open(path_),
              StatusIs(absl::StatusCode::kDataLoss, "dict.txt, line 1"));
  folder_.Write("data-bin/dict.txt", "65 2\n");
  EXPECT_THAT(Corpus::Open(path_), StatusIs(absl::StatusCode::kDataLoss,
                                            "train.idx: line 2 has the id 5"));
  folder_.Write("data-bin/dict.txt", dictionary);
  std::filesystem::remove(path_ + "/valid1.idx");
  EXPECT_THAT(Corpus::Open(path_),
              StatusIs(absl::StatusCode::kNotFound, "valid1.idx"));
}

TEST_F(BinaryCorpusTest, RefusesAFolderOfTwoCorpora) {
  folder_.Write("data-bin/corpus.json", "{}");
  EXPECT_THAT(Corpus::Open(path_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "data-bin: holds corpus.json and dict.txt"));
}

}  // namespace
}  // namespace spanlm
