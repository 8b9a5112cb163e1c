// SPDX-License-Identifier: Apache-2.0
#include "train/commands/preprocess.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "train/exit_codes.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class PreprocessTest : public testing::Test {
 protected:
  // Runs `spanlm-train preprocess` with these arguments in front of --destdir;
  // what it says goes to said_.
  int Run(std::vector<std::string> arguments) {
    CLI::App app;
    int exit_code = -1;
    AddPreprocessCommand(app, &exit_code);
    arguments.insert(arguments.begin(), "preprocess");
    arguments.insert(arguments.end(), {"--destdir", destdir_});
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    testing::internal::CaptureStderr();
    try {
      app.parse(std::move(arguments));
    } catch (const CLI::ParseError& error) {
      said_ = error.what();
      exit_code = kExitUsage;
    }
    said_ += testing::internal::GetCapturedStderr();
    return exit_code;
  }

  bool Exists(const std::string& name) const {
    return std::filesystem::exists(destdir_ + "/" + name);
  }

  const TempDir folder_;
  const std::string destdir_ = folder_.File("out");
  const std::string train_ = folder_.Write("train.txt", "65 66 \n 65\n");
  const std::string valid_ = folder_.Write("valid.txt", "66 67\n");
  const std::string test_ = folder_.Write("test.txt", "65");
  const std::string raw_ = folder_.Write("bytes", "AB\nA");
  std::string said_;
};

TEST_F(PreprocessTest, TakesTheRecipesCommand) {
  ASSERT_EQ(
      Run({"--only-source", "--trainpref", train_, "--validpref", valid_,
           "--testpref", test_, "--joined-dictionary", "--workers", "20"}),
      kExitDone)
      << said_;

  EXPECT_EQ(ReadFile(destdir_ + "/dict.txt"),
            "65 2\n66 1\nmadeupword0000 0\nmadeupword0001 0\n");
  EXPECT_EQ(ReadFile(destdir_ + "/train.bin"),
            std::string("\4\0\5\0\2\0\4\0\2\0", 10));
  EXPECT_EQ(ReadFile(destdir_ + "/valid.bin"), std::string("\5\0\3\0\2\0", 6));
  EXPECT_EQ(ReadFile(destdir_ + "/test.bin"), std::string("\4\0\2\0", 4));
  EXPECT_THAT(said_, AllOf(HasSubstr("dict.txt: 8 symbols"),
                           HasSubstr("train.txt: 2 lines, 5 tokens, 0 words"),
                           HasSubstr("valid.txt: 1 lines, 3 tokens, 1 words "
                                     "replaced by <unk>")));
}

TEST_F(PreprocessTest, PutsOneCorpusInAFolder) {
  const std::vector<std::string> raw = {"--raw", raw_, "--split", "2,1,1"};
  const std::vector<std::string> text = {"--only-source", "--trainpref",
                                         train_};
  ASSERT_EQ(Run(raw), kExitDone) << said_;
  EXPECT_EQ(Run(text), kExitData);
  EXPECT_THAT(said_, HasSubstr("corpus.json; give another folder"));
  std::filesystem::remove_all(destdir_);

  ASSERT_EQ(Run(text), kExitDone) << said_;
  EXPECT_EQ(Run(raw), kExitData);
  EXPECT_THAT(said_, HasSubstr("dict.txt; give another folder"));
}

TEST_F(PreprocessTest, PassesOnTheDictionarysFlags) {
  ASSERT_EQ(Run({"--only-source", "--trainpref", train_, "--thresholdsrc", "2",
                 "--padding-factor", "3"}),
            kExitDone)
      << said_;
  EXPECT_EQ(ReadFile(destdir_ + "/dict.txt"), "65 2\nmadeupword0000 0\n");
  std::filesystem::remove_all(destdir_);

  ASSERT_EQ(Run({"--only-source", "--trainpref", train_, "--nwordssrc", "5",
                 "--padding-factor", "1", "--workers", "1"}),
            kExitDone)
      << said_;
  EXPECT_EQ(ReadFile(destdir_ + "/dict.txt"), "65 2\n");
  std::filesystem::remove_all(destdir_);

  ASSERT_EQ(Run({"--only-source", "--validpref", valid_ + "," + test_,
                 "--testpref", test_ + "," + valid_, "--srcdict",
                 folder_.Write("mine.txt", "67 9\n")}),
            kExitDone)
      << said_;
  EXPECT_EQ(ReadFile(destdir_ + "/dict.txt"), "67 9\n");
  EXPECT_TRUE(Exists("valid1.idx") && Exists("test1.idx"));
  EXPECT_FALSE(Exists("train.idx") || Exists("valid2.idx"));
}

TEST_F(PreprocessTest, MakesARawCorpus) {
  ASSERT_EQ(Run({"--raw", raw_, "--split", "2,1,1"}), kExitDone) << said_;

  EXPECT_EQ(ReadFile(destdir_ + "/train.bytes"), "AB");
  EXPECT_TRUE(Exists("corpus.json"));
  EXPECT_THAT(said_, AllOf(HasSubstr("train 2, valid 1, test 1 bytes"),
                           Not(HasSubstr("SHA-1"))));
}

TEST_F(PreprocessTest, MakesDecimalTextThatItReads) {
  ASSERT_EQ(Run({"--raw", raw_, "--as-decimal", "--split", "3,0,1"}), kExitDone)
      << said_;
  EXPECT_EQ(ReadFile(destdir_ + "/train.txt"), "65 66 \n");
  EXPECT_EQ(ReadFile(destdir_ + "/test.txt.raw"), "A");
  EXPECT_FALSE(Exists("corpus.json"));

  ASSERT_EQ(Run({"--only-source", "--trainpref", destdir_ + "/train.txt",
                 "--testpref", destdir_ + "/test.txt"}),
            kExitDone)
      << said_;
  EXPECT_EQ(ReadFile(destdir_ + "/test.bin"), std::string("\4\0\2\0", 4));
}

TEST_F(PreprocessTest, RefusesFlagsThatDoNotGoTogether) {
  const struct {
    std::vector<std::string> arguments;
    const char* message;
  } cases[] = {
      {{}, "want --raw FILE, or --only-source --trainpref FILE"},
      {{"--only-source"}, "no text"},
      {{"--trainpref", train_}, "--only-source is missing"},
      {{"--raw", raw_, "--trainpref", train_},
       "--raw and --trainpref exclude each other"},
      {{"--raw", raw_, "--testpref", test_}, "--raw and --testpref"},
      {{"--raw", raw_, "--srcdict", train_}, "--raw and --srcdict"},
      {{"--raw", raw_, "--only-source"}, "--only-source goes with --trainpref"},
      {{"--raw", raw_, "--joined-dictionary"}, "--joined-dictionary goes with"},
      {{"--raw", raw_, "--thresholdsrc", "2"}, "--thresholdsrc goes with"},
      {{"--raw", raw_, "--nwordssrc", "9"}, "--nwordssrc goes with"},
      {{"--raw", raw_, "--padding-factor", "1"}, "--padding-factor goes with"},
      {{"--raw", raw_, "--workers", "2"}, "--workers goes with"},
      {{"--trainpref", train_, "--as-decimal"}, "--as-decimal goes with --raw"},
      {{"--trainpref", train_, "--split", "1,1,1"}, "--split goes with --raw"},
      {{"--only-source", "--testpref", test_}, "--trainpref is missing"},
      {{"--only-source", "--trainpref", train_, "--workers", "-1"},
       "--workers -1: want at least 0"},
      {{"--only-source", "--trainpref", train_, "--padding-factor", "70000"},
       "--padding-factor 70000: want at least 0 and at most 65499"},
      {{"--raw", raw_, "--split", "1,2"}, "--split 1,2"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Run(c.arguments), kExitUsage) << c.message;
    EXPECT_THAT(said_, HasSubstr(c.message));
    EXPECT_FALSE(std::filesystem::exists(destdir_)) << c.message;
  }
}

TEST_F(PreprocessTest, ExitsAsDataErrorsDo) {
  EXPECT_EQ(Run({"--only-source", "--trainpref", folder_.File("none")}),
            kExitData);
  EXPECT_EQ(Run({"--only-source", "--trainpref", train_, "--srcdict", test_}),
            kExitData);
  EXPECT_THAT(said_, HasSubstr("test.txt, line 1: 65, want `symbol count`"));
}

TEST_F(PreprocessTest, SaysWhetherAFileOfEnwik8sSizeIsEnwik8) {
  EXPECT_EQ(
      DescribeEnwik8("e", "57b8363b814821dc9d47aa4d41f58733519076b2"),
      "e: SHA-1 57b8363b814821dc9d47aa4d41f58733519076b2, enwik8 as published");
  EXPECT_THAT(DescribeEnwik8("e", "57b8363b814821dc9d47aa4d41f58733519076b3"),
              AllOf(HasSubstr("warning"), HasSubstr("b3, not enwik8's 57b8")));

  // All zeros, without blocks on the disk.
  std::filesystem::resize_file(raw_, 0);
  std::filesystem::resize_file(raw_, kEnwik8Bytes);
  ASSERT_EQ(Run({"--raw", raw_, "--split", "1,0,0"}), kExitDone) << said_;
  EXPECT_THAT(said_, HasSubstr("bytes: warning: has enwik8's size, but SHA-1"));
}

}  // namespace
}  // namespace spanlm
