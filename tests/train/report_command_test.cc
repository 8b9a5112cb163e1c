// SPDX-License-Identifier: Apache-2.0
#include "train/commands/report.h"

#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kLine[] =
    R"({"tag": "train_inner", "num_updates": "25", "loss": "4.5"})";

TEST(ReportCommandTest, WritesThePageIntoTheRunsFolder) {
  const TempDir folder;
  folder.Write("train.jsonl", std::string(kLine) + "\n{\"tag");
  std::ostringstream out;

  ASSERT_OK(RunReport({folder.path(), ""}, out));

  EXPECT_THAT(ReadFile(folder.File("report.html")), HasSubstr("</html>"));
  EXPECT_THAT(out.str(), AllOf(HasSubstr("report.html: 25 updates"),
                               HasSubstr("1 of 2 lines")));
}

TEST(ReportCommandTest, TellsOfTheRunsModelWhereItIs) {
  const TempDir folder;
  std::ostringstream out;

  ASSERT_OK(RunReport({std::string(SPANLM_SOURCE_DIR) + "/models/demo",
                       folder.File("page.html")},
                      out));

  EXPECT_THAT(ReadFile(folder.File("page.html")),
              AllOf(HasSubstr("<title>demo"), HasSubstr("adaptive_span, "),
                    HasSubstr("Final spans")));
}

TEST(ReportCommandTest, NamesWhatIsMissing) {
  const TempDir folder;
  std::ostringstream out;

  EXPECT_THAT(RunReport({folder.path(), ""}, out),
              StatusIs(absl::StatusCode::kNotFound, "train.jsonl"));

  folder.Write("train.jsonl", "{}\n");
  EXPECT_THAT(RunReport({folder.path(), ""}, out),
              StatusIs(absl::StatusCode::kDataLoss, "1 lines"));

  folder.Write("train.jsonl", kLine);
  EXPECT_THAT(RunReport({folder.path(), folder.File("no/page.html")}, out),
              StatusIs(absl::StatusCode::kUnavailable, "page.html"));
}

}  // namespace
}  // namespace spanlm
