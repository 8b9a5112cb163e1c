// SPDX-License-Identifier: Apache-2.0
#include "train/command_line.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Sets an environment variable for the length of a test.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    setenv(name, value, 1);
  }
  ~ScopedVariable() { unsetenv(name_); }

 private:
  const char* const name_;
};

class CommandLineTest : public ::testing::Test {
 protected:
  CommandLineTest() {
    CLI::App* command = app_.add_subcommand("eval-lm");
    command->add_option("--batch-size", batch_size_);
    command->add_option("--threads", threads_);
    command->add_flag("--json", json_);
    app_.add_subcommand("train")->add_option("--lr", rate_);
    AddConfigFlags(&app_);
  }

  CLI::App app_;
  int batch_size_ = 0;
  int threads_ = 0;
  bool json_ = false;
  double rate_ = 0;
};

TEST_F(CommandLineTest, LeavesArgumentsAloneWhereNothingElseIsSet) {
  ASSERT_OK_AND_ASSIGN(const auto arguments,
                       ExpandArguments(app_, {"eval-lm", "--threads", "2"}));

  EXPECT_THAT(arguments, ElementsAre("eval-lm", "--threads", "2"));
}

TEST_F(CommandLineTest, PrefersFlagToEnvironmentToFile) {
  const TempDir folder;
  const std::string file = folder.Write(
      "a.toml", "threads = 7\nbatch-size = 5\n[eval-lm]\njson = true\n");
  const ScopedVariable batch_size("SPANLM_BATCH_SIZE", "3");
  const ScopedVariable threads("SPANLM_THREADS", "4");

  ASSERT_OK_AND_ASSIGN(const auto arguments,
                       ExpandArguments(app_, {"eval-lm", "--config", file,
                                              "--threads=2", "data"}));

  EXPECT_THAT(arguments, ElementsAre("eval-lm", "--batch-size=3", "--json=true",
                                     "--config", file, "--threads=2", "data"));
}

TEST_F(CommandLineTest, TakesTheFileNamedByTheEnvironment) {
  const TempDir folder;
  const std::string file = folder.Write("a.toml", "threads = 7\n");
  const ScopedVariable config("SPANLM_CONFIG", file.c_str());

  ASSERT_OK_AND_ASSIGN(const auto arguments,
                       ExpandArguments(app_, {"eval-lm"}));

  EXPECT_THAT(arguments, ElementsAre("eval-lm", "--threads=7"));
}

TEST_F(CommandLineTest, TakesTheFileNamedBeforeTheCommand) {
  const TempDir folder;
  const std::string file = folder.Write("a.toml", "threads = 7\n");

  ASSERT_OK_AND_ASSIGN(auto arguments,
                       ExpandArguments(app_, {"--config", file, "eval-lm"}));
  std::reverse(arguments.begin(), arguments.end());
  app_.parse(arguments);

  EXPECT_EQ(threads_, 7);
}

TEST_F(CommandLineTest, PassesOverSectionsOfOtherCommands) {
  const TempDir folder;
  const std::string file = folder.Write("a.toml", "[train]\nlr = 0.07\n");

  ASSERT_OK_AND_ASSIGN(const auto arguments,
                       ExpandArguments(app_, {"eval-lm", "--config=" + file}));

  EXPECT_THAT(arguments, ElementsAre("eval-lm", "--config=" + file));
}

TEST_F(CommandLineTest, RefusesAnUnknownKeyAndNamesTheNearestFlag) {
  const TempDir folder;
  const std::string file = folder.Write("a.toml", "batchsize = 7\n");

  EXPECT_THAT(ExpandArguments(app_, {"eval-lm", "--config", file}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "batchsize is not a flag of eval-lm; the nearest is "
                       "--batch-size"));
}

TEST_F(CommandLineTest, RefusesAMissingFileAndNamesIt) {
  EXPECT_THAT(ExpandArguments(app_, {"eval-lm", "--config", "/nowhere.toml"}),
              StatusIs(absl::StatusCode::kNotFound, "/nowhere.toml"));
}

// A folder, and a name that no file system takes.
TEST_F(CommandLineTest, RefusesWhatCannotBeAFileAndNamesIt) {
  const TempDir folder;
  for (const std::string& path :
       {folder.File(""), std::string(5000, 'x'), std::string("a\0b", 3)}) {
    EXPECT_THAT(
        ExpandArguments(app_, {"eval-lm", "--config", path}),
        StatusIs(absl::StatusCode::kNotFound, HasSubstr(path.substr(0, 9))));
  }
}

TEST_F(CommandLineTest, ParsesWhatItExpands) {
  const ScopedVariable json("SPANLM_JSON", "true");
  ASSERT_OK_AND_ASSIGN(auto arguments,
                       ExpandArguments(app_, {"eval-lm", "--threads", "2"}));
  std::reverse(arguments.begin(), arguments.end());

  app_.parse(arguments);

  EXPECT_TRUE(json_);
  EXPECT_EQ(threads_, 2);
}

TEST_F(CommandLineTest, FindsTheNearestFlagOfAMisspeltOne) {
  const CLI::App& command = *app_.get_subcommand("eval-lm");

  EXPECT_EQ(NearestFlag(command, "--thread"), "--threads");
  EXPECT_EQ(NearestFlag(command, "--bach-size=3"), "--batch-size");
}

TEST_F(CommandLineTest, SuggestsFlagsForWhatLooksLikeOne) {
  try {
    app_.parse("eval-lm stray --thread 2", /*program_name_included=*/false);
    FAIL() << "took a flag that is none";
  } catch (const CLI::ExtrasError&) {
  }

  EXPECT_THAT(Suggestions(app_),
              ElementsAre("did you mean --threads for --thread?"));
}

}  // namespace
}  // namespace spanlm
