// SPDX-License-Identifier: Apache-2.0
#include "base/command_line.h"

#include <cstdlib>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

class EnvironmentAndConfigTest : public testing::Test {
 protected:
  ~EnvironmentAndConfigTest() override {
    unsetenv("SPANLM_MAX_BYTES");
    unsetenv("SPANLM_CONFIG");
  }

  // The value of --max-bytes after these arguments.
  int Parsed(const std::string& arguments) {
    int max_bytes = 1;
    CLI::App app;
    app.add_option("--max-bytes", max_bytes);
    AddEnvironmentAndConfig(&app);
    app.parse(arguments, /*program_name_included=*/false);
    return max_bytes;
  }

  const TempDir folder_;
  const std::string file_ = folder_.Write("a.toml", "max-bytes = 2\n");
};

TEST_F(EnvironmentAndConfigTest, PrefersFlagToEnvironmentToFile) {
  EXPECT_EQ(Parsed(""), 1);
  EXPECT_EQ(Parsed("--config " + file_), 2);

  setenv("SPANLM_MAX_BYTES", "3", 1);

  EXPECT_EQ(Parsed("--config " + file_), 3);
  EXPECT_EQ(Parsed("--config " + file_ + " --max-bytes 4"), 4);
}

TEST_F(EnvironmentAndConfigTest, RefusesAFileOfUnknownOptionsAndNamesThem) {
  const std::pair<std::string, std::string> cases[] = {
      {"maxbytes = 2\n", "maxbytes"},
      {"[section]\nmax-bytes = 2\n", "section.max-bytes"},
      {"a = [1,\nb", "a"}};
  for (const auto& [text, name] : cases) {
    try {
      Parsed("--config " + folder_.Write("b.toml", text));
      ADD_FAILURE() << text;
    } catch (const CLI::ConfigError& error) {
      EXPECT_THAT(error.what(),
                  testing::StartsWith("--config: the file sets " + name))
          << text;
    }
  }
}

TEST_F(EnvironmentAndConfigTest, ReadsTheFileThatTheEnvironmentNames) {
  setenv("SPANLM_CONFIG", file_.c_str(), 1);

  EXPECT_EQ(Parsed(""), 2);
  EXPECT_EQ(Parsed("--max-bytes 4"), 4);
  EXPECT_EQ(Parsed("--config " + folder_.Write("c.toml", "max-bytes = 5\n")),
            5);

  setenv("SPANLM_CONFIG", folder_.File("missing.toml").c_str(), 1);

  EXPECT_THROW(Parsed(""), CLI::FileError);
}

TEST_F(EnvironmentAndConfigTest, TakesAnEmptyVariableForNone) {
  setenv("SPANLM_MAX_BYTES", "", 1);
  setenv("SPANLM_CONFIG", "", 1);

  EXPECT_EQ(Parsed(""), 1);
  EXPECT_EQ(Parsed("--config " + file_), 2);
}

}  // namespace
}  // namespace spanlm
