// SPDX-License-Identifier: Apache-2.0
#include "train/report_page.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

ReportInput LongRun() {
  ReportInput input;
  input.title = "run <1>";
  for (int i = 1; i <= 24'000; ++i) {
    const double update = 25.0 * i;
    input.history.train_loss.push_back({update, 1 + 8.0 / i});
    input.history.learning_rate.push_back({update, 0.07});
    input.history.symbols_per_second.push_back({update, 12'000});
  }
  input.history.valid_loss = {{300'000, 1.125}, {600'000, 1.25}};
  input.history.seconds = {{600'000, 3 * 86400 + 4 * 3600}};
  input.history.last_update = 600'000;
  input.history.lines = 24'002;
  return input;
}

TEST(ReportPageTest, NeedsNothingElse) {
  const std::string page = MakeReportPage(LongRun());

  EXPECT_THAT(page, AllOf(HasSubstr("<!DOCTYPE html>"), HasSubstr("<style>"),
                          HasSubstr("</html>")));
  for (const char* outside :
       {"src=", "href=", "@import", "url(", "fetch(", "https://"}) {
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  }
}

TEST(ReportPageTest, ThinsOutLongCurves) {
  const std::string page = MakeReportPage(LongRun());

  // Four curves of at most 2000 points, three numbers each.
  EXPECT_LT(page.size(), 500'000U);
}

TEST(ReportPageTest, SaysHowTheRunEnded) {
  ReportInput input = LongRun();
  input.parameters = 38'541'616;
  input.model = "adaptive_span";
  input.history.restarts = 2;
  input.history.skipped_lines = 1;

  const std::string page = MakeReportPage(input);

  EXPECT_THAT(page,
              AllOf(HasSubstr("1.125 bits, at update 300,000"),
                    HasSubstr("1.25 bits, at update 600,000"),
                    HasSubstr("3 d 4 h"), HasSubstr("12,000 symbols/s"),
                    HasSubstr("38,541,616"), HasSubstr("adaptive_span"),
                    HasSubstr("2 times"), HasSubstr("1 of them unreadable")));
  EXPECT_THAT(page, Not(HasSubstr("run <1>")));
}

TEST(ReportPageTest, ShowsTheLogsSpansBeforeTheModels) {
  ReportInput input = LongRun();
  input.model_spans = {{1, 2}};
  EXPECT_THAT(MakeReportPage(input), HasSubstr("layer 0, head 1: 2.0"));

  input.history.spans = {{100, {{3, 4}}}};
  const std::string page = MakeReportPage(input);
  EXPECT_THAT(page, AllOf(HasSubstr("layer 0, head 1: 4.0"),
                          HasSubstr("Spans over time")));
}

TEST(ReportPageTest, IsWholeForARunOfOneLine) {
  ReportInput input;
  input.history.last_update = 25;
  input.history.lines = 1;

  const std::string page = MakeReportPage(input);

  EXPECT_THAT(page, AllOf(HasSubstr("not in this log"), HasSubstr("</html>"),
                          Not(HasSubstr("nan"))));
}

TEST(ReportPageTest, EqualRunsGiveEqualPages) {
  EXPECT_EQ(MakeReportPage(LongRun()), MakeReportPage(LongRun()));
}

}  // namespace
}  // namespace spanlm
