// SPDX-License-Identifier: Apache-2.0
// spanlm-train as a shell sees it: exit codes, and what goes to which stream.
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/child_process.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class TrainProgramTest : public ::testing::Test {
 protected:
  static Outcome Run(const std::vector<std::string>& arguments) {
    return RunProgram("spanlm-train", arguments);
  }

  const TempDir folder_;
};

TEST_F(TrainProgramTest, SaysItsVersionAndItsCommands) {
  const Outcome version = Run({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("spanlm-train "));

  const Outcome help = Run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command : {"preprocess", "train", "eval-lm", "import",
                              "inspect", "score-tokens"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
  }
  EXPECT_THAT(Run({"eval-lm", "--help"}).out, HasSubstr("--gen-subset"));
}

TEST_F(TrainProgramTest, ExitsWith64ForWrongFlagsAndNamesTheNearestKnownOne) {
  EXPECT_EQ(Run({}).exit_code, 64);
  const Outcome unknown = Run({"no-such-command"});
  EXPECT_EQ(unknown.exit_code, 64);
  EXPECT_THAT(unknown.err, HasSubstr("no such command: no-such-command"));
  EXPECT_EQ(Run({"preprocess", "--raw", "x"}).exit_code, 64);
  EXPECT_EQ(
      Run({"eval-lm", "data", "--path", "m", "--protocol", "theirs"}).exit_code,
      64);

  const Outcome outcome =
      Run({"eval-lm", "data", "--path", "m", "--thread", "2"});
  EXPECT_EQ(outcome.exit_code, 64);
  EXPECT_THAT(outcome.err, HasSubstr("did you mean --threads"));
  EXPECT_THAT(outcome.out, IsEmpty());
}

TEST_F(TrainProgramTest, SaysWhichFlagsAreOfTheOtherArchitecture) {
  const Outcome outcome =
      Run({"train", folder_.File("nothing"), "--arch", "adaptive_span",
           "--mem-len", "64", "--attn-span", "64", "--same-length"});
  EXPECT_EQ(outcome.exit_code, 65);
  for (const char* flag : {"--mem-len", "--same-length"}) {
    EXPECT_THAT(outcome.err,
                HasSubstr(absl::StrCat("without effect: ", flag,
                                       ": belongs to --arch transformer_xl")));
  }
  EXPECT_THAT(outcome.err, Not(HasSubstr("--attn-span")));
}

TEST_F(TrainProgramTest, ExitsWith64ForAConfigurationThatIsNotThere) {
  for (const std::string& file :
       {folder_.File("nothing"), std::string(5000, 'x')}) {
    const Outcome outcome =
        Run({"eval-lm", "data", "--path", "m", "--config", file});
    EXPECT_EQ(outcome.exit_code, 64);
    EXPECT_THAT(outcome.err, HasSubstr("no such file (--config)"));
  }
}

// What the file system itself refuses is an answer, too.
TEST_F(TrainProgramTest, SaysNoToPathsThatNoFileCanHave) {
  const std::string endless(5000, 'x');
  const std::pair<std::vector<std::string>, int> cases[] = {
      {{"inspect", endless}, 65},
      {{"inspect", endless + ".pt"}, 65},
      {{"score-tokens", endless, "--tokens", endless, "--out",
        folder_.File("o")},
       65},
      {{"import", endless + ".pt", folder_.File("m")}, 74}};
  for (const auto& [arguments, exit_code] : cases) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << arguments[0] << outcome.err;
  }
}

TEST_F(TrainProgramTest, ExitsWith65ForBadDataAndNamesIt) {
  const std::string missing = folder_.File("nothing");
  const std::vector<std::vector<std::string>> commands = {
      {"preprocess", "--raw", missing, "--destdir", folder_.File("c")},
      {"import", missing, folder_.File("m")},
      {"inspect", missing},
      {"eval-lm", missing, "--protocol", "full-stream", "--path", missing},
      {"score-tokens", missing, "--tokens", missing, "--out",
       folder_.File("o")}};
  for (const std::vector<std::string>& arguments : commands) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.exit_code, 65) << arguments[0];
    EXPECT_THAT(outcome.err, HasSubstr("nothing")) << arguments[0];
    EXPECT_THAT(outcome.out, IsEmpty()) << arguments[0];
  }
}

TEST_F(TrainProgramTest, ExitsWith74WhereTheDiskRefuses) {
  const std::string raw = folder_.Write("raw", "abc");

  const Outcome outcome =
      Run({"preprocess", "--raw", raw, "--destdir", raw + "/corpus"});

  EXPECT_EQ(outcome.exit_code, 74);
  EXPECT_THAT(outcome.err, HasSubstr("raw/corpus"));
}

TEST_F(TrainProgramTest, PreprocessTakesItsFlagsFromTheEnvironmentToo) {
  const std::string raw = folder_.Write("raw", "abcdefgh");

  setenv("SPANLM_SPLIT", "5,2,1", 1);
  const Outcome outcome =
      Run({"preprocess", "--raw", raw, "--destdir", folder_.File("c")});
  unsetenv("SPANLM_SPLIT");

  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(ReadFile(folder_.File("c/train.bytes")), "abcde");
  EXPECT_EQ(ReadFile(folder_.File("c/valid.bytes")), "fg");
  EXPECT_EQ(ReadFile(folder_.File("c/test.bytes")), "h");
  EXPECT_THAT(outcome.err, HasSubstr("train 5, valid 2, test 1 bytes; 0 of"));
}

}  // namespace
}  // namespace spanlm
