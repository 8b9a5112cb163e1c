// SPDX-License-Identifier: Apache-2.0
#include "train/databin_writer.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "train/decimal_text_writer.h"
#include "train/indexed_text.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void Ignore(int64_t /*done*/) {}

// Names and bytes of a folder's files.
std::map<std::string, std::string> Files(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files[entry.path().filename().string()] = ReadFile(entry.path().string());
  }
  return files;
}

template <typename T>
void AppendNumber(T value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// fairseq's files in the plainest way, for texts whose lines end in \n and
// whose only blanks are ASCII's.
class PlainDatabin {
 public:
  explicit PlainDatabin(const std::string& train) {
    std::map<std::string, int64_t> counts;
    for (const auto& line : Lines(train)) {
      for (const std::string& word : line) ++counts[word];
    }
    std::vector<std::pair<int64_t, std::string>> words;
    for (const auto& [word, count] : counts) words.emplace_back(-count, word);
    std::sort(words.begin(), words.end());
    for (const auto& [count, word] : words) {
      dictionary_ += absl::StrCat(word, " ", -count, "\n");
      ids_.emplace(word, ids_.size() + 4);
    }
    for (int i = 0; (ids_.size() + 4) % 8 != 0; ++i) {
      const std::string filler = absl::StrCat("madeupword000", i);
      dictionary_ += filler + " 0\n";
      ids_.emplace(filler, ids_.size() + 4);
    }
  }

  void AddPart(const std::string& name, const std::string& text,
               std::map<std::string, std::string>* files) const {
    std::string data, sizes, offsets;
    const auto lines = Lines(text);
    for (const auto& line : lines) {
      AppendNumber(static_cast<int64_t>(data.size()), &offsets);
      AppendNumber(static_cast<int32_t>(line.size() + 1), &sizes);
      for (const std::string& word : line) {
        const auto found = ids_.find(word);
        const size_t id = found == ids_.end() ? 3 : found->second;
        AppendNumber(static_cast<uint16_t>(id), &data);
      }
      AppendNumber(uint16_t{2}, &data);
    }
    std::string index("MMIDIDX\0\0", 9);
    AppendNumber(uint64_t{1}, &index);
    AppendNumber(uint8_t{8}, &index);
    AppendNumber(uint64_t{lines.size()}, &index);
    (*files)[name + ".bin"] = data;
    (*files)[name + ".idx"] = index + sizes + offsets;
  }

  const std::string& dictionary() const { return dictionary_; }

 private:
  static std::vector<std::vector<std::string>> Lines(const std::string& text) {
    std::vector<std::vector<std::string>> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
      std::istringstream words(line);
      lines.emplace_back();
      for (std::string word; words >> word;) lines.back().push_back(word);
    }
    return lines;
  }

  std::string dictionary_;
  std::map<std::string, size_t> ids_;
};

// Numbers and letters, empty lines, blanks of any number.
std::string RandomText(uint32_t seed, int words) {
  uint32_t state = seed;
  const auto draw = [&state](uint32_t bound) {
    state = state * 1664525 + 1013904223;
    return (state >> 12) % bound;
  };
  std::string text;
  for (int i = 0; i < words; ++i) {
    switch (draw(12)) {
      case 0:
        text += "\n";
        break;
      case 1:
        text += " \n\t \n";
        break;
      case 2:
        text += " \t ";
        break;
      case 3:
        text += std::string(draw(30) + 1, static_cast<char>('a' + draw(3)));
        break;
      case 4:
        absl::StrAppend(&text, "0", draw(20));
        break;
      default:
        absl::StrAppend(&text, draw(300));
    }
    if (draw(10) != 0) text += " ";
  }
  return text;
}

class DatabinWriterTest : public testing::Test {
 protected:
  // Writes the three texts as a data directory `name`.
  absl::StatusOr<DatabinSummary> Write(const std::string& name, int threads = 1,
                                       int64_t chunk_bytes = 1 << 20) {
    DatabinOptions options;
    options.train = folder_.Write("train.txt", train_);
    options.valid = {folder_.Write("valid.txt", valid_)};
    options.test = {folder_.Write("test.txt", test_)};
    options.folder = folder_.File(name);
    options.chunks.threads = threads;
    options.chunks.chunk_bytes = chunk_bytes;
    return WriteDatabin(options, Ignore);
  }

  std::map<std::string, std::string> Expected() const {
    const PlainDatabin plain(train_);
    std::map<std::string, std::string> files;
    files["dict.txt"] = plain.dictionary();
    plain.AddPart("train", train_, &files);
    plain.AddPart("valid", valid_, &files);
    plain.AddPart("test", test_, &files);
    return files;
  }

  const TempDir folder_;
  std::string train_, valid_, test_;
};

TEST_F(DatabinWriterTest, EncodesAsAPlainReferenceWhateverThreadsAndChunks) {
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    train_ = RandomText(seed, 700);
    valid_ = RandomText(seed + 100, 300) + (seed % 2 == 0 ? "\n" : "7");
    test_ = RandomText(seed + 200, 20) + " \n" + std::string(seed % 2, ' ');
    const auto expected = Expected();
    const std::pair<int, int64_t> cuts[] = {
        {1, 1 << 20}, {1, 1}, {2, 5}, {5, 33}, {3, 700}};
    for (const auto& [threads, bytes] : cuts) {
      const std::string name = absl::StrCat(seed, "-", threads, "-", bytes);
      ASSERT_OK(Write(name, threads, bytes));

      EXPECT_EQ(Files(folder_.File(name)), expected) << name;
    }
  }
}

TEST_F(DatabinWriterTest, CountsLinesAsPythonDoes) {
  const std::pair<const char*, int64_t> cases[] = {
      {"", 0},      {"1", 1},        {"1\n", 1},     {"1\n2", 2},
      {"\n", 1},    {"\n\n", 2},     {"1 \n \n", 2}, {"1\n \t", 2},
      {" ", 1},     {"1\r2\r\n", 2}, {"1\r", 1},     {"1\n\xC2\xA0", 2},
      {"1\v2\n", 1}};
  DatabinOptions options;
  options.dictionary = folder_.Write("dict.txt", "1 1\n");
  options.folder = folder_.File("d");
  for (const auto& [text, lines] : cases) {
    options.test = {folder_.Write("text", text)};
    for (const int64_t bytes : {1, 1000}) {
      options.chunks = {2, bytes};
      ASSERT_OK_AND_ASSIGN(const DatabinSummary summary,
                           WriteDatabin(options, Ignore));

      EXPECT_EQ(summary.parts[0].lines, lines) << testing::PrintToString(text);
      ASSERT_OK_AND_ASSIGN(const IndexedText read,
                           IndexedText::Open(folder_.File("d/test"), 5));
      EXPECT_EQ(read.line_count(), lines);
    }
  }
}

TEST_F(DatabinWriterTest, SaysWhatBecameOfEachText) {
  train_ = "1 1 2\n1\n";
  valid_ = "1 9 <unk> 9\n\n";
  test_ = "2";

  ASSERT_OK_AND_ASSIGN(const DatabinSummary summary, Write("d"));

  EXPECT_EQ(summary.symbols, 8);
  ASSERT_EQ(summary.parts.size(), 3);
  EXPECT_EQ(summary.parts[0].source, folder_.File("train.txt"));
  EXPECT_EQ(summary.parts[0].lines, 2);
  EXPECT_EQ(summary.parts[0].tokens, 6);
  EXPECT_EQ(summary.parts[0].unknown, 0);
  EXPECT_EQ(summary.parts[1].tokens, 6);
  EXPECT_EQ(summary.parts[1].unknown, 2);
  EXPECT_EQ(summary.parts[2].lines, 1);
  EXPECT_EQ(summary.parts[2].tokens, 2);
}

TEST_F(DatabinWriterTest, NumbersFurtherTextsAndMayLeaveOutAny) {
  DatabinOptions options;
  options.train = folder_.Write("a", "1 2\n");
  options.valid = {folder_.Write("b", "1\n"), folder_.Write("c", "2\n"),
                   folder_.Write("e", "1 1\n")};
  options.folder = folder_.File("d");

  ASSERT_OK(WriteDatabin(options, Ignore));

  const auto files = Files(options.folder);
  EXPECT_EQ(files.size(), 9);  // dict.txt and four pairs
  EXPECT_EQ(files.at("valid.bin"), std::string("\4\0\2\0", 4));
  EXPECT_EQ(files.at("valid1.bin"), std::string("\5\0\2\0", 4));
  EXPECT_EQ(files.at("valid2.bin"), std::string("\4\0\4\0\2\0", 6));
}

TEST_F(DatabinWriterTest, TakesADictionaryInsteadOfMakingOne) {
  DatabinOptions options;
  options.test = {folder_.Write("a", "7 8 9\n")};
  options.dictionary = folder_.Write("their.txt", "9 5\n7 5\n");
  options.folder = folder_.File("d");

  ASSERT_OK_AND_ASSIGN(const DatabinSummary summary,
                       WriteDatabin(options, Ignore));

  EXPECT_EQ(summary.symbols, 6);
  const auto files = Files(options.folder);
  EXPECT_EQ(files.size(), 3);
  EXPECT_EQ(files.at("dict.txt"), "9 5\n7 5\n");
  EXPECT_EQ(files.at("test.bin"), std::string("\5\0\3\0\4\0\2\0", 8));
}

TEST_F(DatabinWriterTest, ProgressEndsAtAllWork) {
  DatabinOptions options;
  options.train = folder_.Write("a", RandomText(1, 500));
  options.test = {folder_.Write("b", RandomText(2, 100))};
  options.folder = folder_.File("d");
  options.chunks = {3, 50};
  int64_t last = 0;
  bool rises = true;

  ASSERT_OK(WriteDatabin(options, [&](int64_t done) {
    rises = rises && done >= last;
    last = done;
  }));

  ASSERT_OK_AND_ASSIGN(const int64_t work, DatabinWork(options));
  EXPECT_EQ(last, work);
  EXPECT_TRUE(rises);
  EXPECT_EQ(work,
            static_cast<int64_t>(2 * std::filesystem::file_size(options.train) +
                                 std::filesystem::file_size(options.test[0])));
}

TEST_F(DatabinWriterTest, MayRunAgainButNotWithAnotherDictionary) {
  train_ = "1 2\n";
  ASSERT_OK(Write("d"));
  valid_ = "2 2\n";
  ASSERT_OK(Write("d"));
  const auto files = Files(folder_.File("d"));
  train_ = "2 2\n";

  EXPECT_THAT(Write("d"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("d/dict.txt"), HasSubstr("--destdir"))));
  EXPECT_EQ(Files(folder_.File("d")), files);
}

TEST_F(DatabinWriterTest, FindsAMissingTextBeforeItWritesAnything) {
  DatabinOptions options;
  options.train = folder_.Write("a", "1\n");
  options.test = {folder_.Write("b", "1\n"), folder_.File("none")};
  options.folder = folder_.File("d");

  EXPECT_THAT(WriteDatabin(options, Ignore),
              StatusIs(absl::StatusCode::kNotFound, "none: no such file"));
  EXPECT_FALSE(std::filesystem::exists(options.folder));
}

TEST_F(DatabinWriterTest, NeedsATrainingTextOrADictionary) {
  DatabinOptions options;
  options.test = {folder_.Write("b", "1\n")};
  options.folder = folder_.File("d");

  EXPECT_THAT(WriteDatabin(options, Ignore),
              StatusIs(absl::StatusCode::kInvalidArgument, "--srcdict"));
}

TEST_F(DatabinWriterTest, LeavesNoHalfPartBehindAnError) {
  train_ = "1\n";
  valid_ = "1\n" + std::string(1 << 18, 'x');  // a word too long

  EXPECT_THAT(Write("d", 1, 1 << 10),
              StatusIs(absl::StatusCode::kDataLoss, "valid.txt: no blank"));
  const auto files = Files(folder_.File("d"));
  EXPECT_EQ(files.size(), 3);
  EXPECT_EQ(files.count("train.idx"), 1);
}

class DatabinWriterGoldenTest : public testing::TestWithParam<int> {};

// From the raw bytes of the parts: their decimal text, and from it all of
// fairseq's files.
TEST_P(DatabinWriterGoldenTest, WritesFairseqsFiles) {
  const TempDir folder;
  const nlohmann::json json = GoldenJson("fairseq_databin/databin.json");
  DatabinOptions options;
  for (const auto& [part, facts] : json["splits"].items()) {
    const int64_t size = facts["source_bytes"];
    ASSERT_OK(WriteDecimalText(
        GoldenPath(absl::StrCat("fairseq_databin/", part, ".source.bytes")),
        folder.File(part), {size, 0, 0}, Ignore));
    const std::string text = folder.File(part + "/train.txt");
    if (part == "train") {
      options.train = text;
    } else {
      (part == "valid" ? options.valid : options.test).push_back(text);
    }
  }
  options.folder = folder.File("data-bin");
  options.chunks.threads = GetParam();
  options.chunks.chunk_bytes = GetParam() == 1 ? 1 << 20 : 1000;

  ASSERT_OK_AND_ASSIGN(const DatabinSummary summary,
                       WriteDatabin(options, Ignore));

  EXPECT_EQ(summary.symbols, json["vocab_size"]);
  const auto files = Files(options.folder);
  EXPECT_EQ(files.size(), 7);
  for (const auto& [name, bytes] : files) {
    EXPECT_TRUE(bytes == ReadFile(GoldenPath("fairseq_databin/" + name)))
        << name;
  }
  // And back: what the ids stand for.
  ASSERT_OK_AND_ASSIGN(const FairseqDictionary dictionary,
                       FairseqDictionary::Read(options.folder + "/dict.txt"));
  std::map<uint16_t, char> bytes = {{2, '\n'}};
  for (int i = 0; i < 256; ++i) {
    const uint16_t id = dictionary.IdOf(absl::StrCat(i));
    if (id != kFairseqUnknown) bytes[id] = static_cast<char>(i);
  }
  for (const auto& part : json["splits"].items()) {
    ASSERT_OK_AND_ASSIGN(const IndexedText text,
                         IndexedText::Open(options.folder + "/" + part.key(),
                                           dictionary.size()));
    std::string decoded;
    for (const uint16_t id : text.tokens()) decoded += bytes.at(id);
    EXPECT_TRUE(decoded == ReadFile(GoldenPath("fairseq_databin/" + part.key() +
                                               ".expected.bytes")))
        << part.key();
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, DatabinWriterGoldenTest,
                         testing::Values(1, 2, 7));

}  // namespace
}  // namespace spanlm
