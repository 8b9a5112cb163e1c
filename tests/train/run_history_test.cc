// SPDX-License-Identifier: Apache-2.0
#include "train/run_history.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {

// For gMock's messages and comparisons.
bool operator==(const CurvePoint& a, const CurvePoint& b) {
  return a.update == b.update && a.value == b.value;
}
void PrintTo(const CurvePoint& point, std::ostream* os) {
  *os << point.update << ": " << point.value;
}

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string Inner(int update, double loss) {
  return absl::StrCat(R"({"tag": "train_inner", "num_updates": ")", update,
                      R"(", "loss": ")", loss, "\"}\n");
}

std::string Valid(int update, double loss) {
  return absl::StrCat(R"({"tag": "valid", "valid_num_updates": ")", update,
                      R"(", "valid_loss": ")", loss, "\"}\n");
}

TEST(RunHistoryTest, ReadsTheLinesOfTheTrainer) {
  const RunHistory history = ParseRunHistory(
      R"({"tag": "train_inner", "epoch": 1, "update": 0.5, "loss": "4.5", "avg_span": "33.2", "max_span": "36", "wps": "3192.7", "num_updates": "100", "lr": "0.0005", "gnorm": "1.593", "loss_scale": "128", "wall": "32"}
{"tag": "valid", "epoch": 1, "valid_loss": "2.25", "valid_num_updates": "100"}
{"tag": "train", "train_loss": "4.5", "train_num_updates": "100", "train_wall": "40"}
)");

  EXPECT_THAT(history.train_loss, ElementsAre(CurvePoint{100, 4.5}));
  EXPECT_THAT(history.valid_loss, ElementsAre(CurvePoint{100, 2.25}));
  EXPECT_THAT(history.learning_rate, ElementsAre(CurvePoint{100, 0.0005}));
  EXPECT_THAT(history.gradient_norm, ElementsAre(CurvePoint{100, 1.593}));
  EXPECT_THAT(history.loss_scale, ElementsAre(CurvePoint{100, 128}));
  EXPECT_THAT(history.symbols_per_second, ElementsAre(CurvePoint{100, 3192.7}));
  EXPECT_THAT(history.average_span, ElementsAre(CurvePoint{100, 33.2}));
  EXPECT_THAT(history.longest_span, ElementsAre(CurvePoint{100, 36}));
  EXPECT_THAT(history.epochs, ElementsAre(CurvePoint{100, 0.5}));
  EXPECT_THAT(history.seconds, ElementsAre(CurvePoint{100, 40}));
  EXPECT_EQ(history.last_update, 100);
  EXPECT_EQ(history.lines, 3);
  EXPECT_EQ(history.skipped_lines, 0);
}

TEST(RunHistoryTest, PrefersBitsOverScoredSymbolsToFairseqsLoss) {
  const RunHistory history = ParseRunHistory(
      R"({"tag": "train_inner", "num_updates": "1", "loss": "4", "bits_per_byte": "4.0078"})");

  EXPECT_THAT(history.train_loss, ElementsAre(CurvePoint{1, 4.0078}));
}

TEST(RunHistoryTest, ReadsSpansAsNumbersOrAsText) {
  const RunHistory history = ParseRunHistory(
      R"({"tag":"spans","num_updates":"1000","spans":[[12.5,0],["3","4e2"]]}
{"tag":"spans","num_updates":2000,"spans":[[13,1],[4,"nan"]]}
{"tag":"spans","num_updates":3000,"spans":[]}
)");

  ASSERT_EQ(history.spans.size(), 1U);  // the others are no spans
  EXPECT_EQ(history.spans[0].update, 1000);
  EXPECT_THAT(history.spans[0].spans,
              ElementsAre(ElementsAre(12.5, 0), ElementsAre(3, 400)));
}

TEST(RunHistoryTest, SkipsACutOffLineAndForeignOnes) {
  const std::string text = Inner(25, 5) + "\n[1, 2]\nhello\n" + Inner(50, 4) +
                           R"({"tag": "train_inner", "num_upda)";

  const RunHistory history = ParseRunHistory(text);

  EXPECT_THAT(history.train_loss,
              ElementsAre(CurvePoint{25, 5}, CurvePoint{50, 4}));
  EXPECT_EQ(history.lines, 5);
  EXPECT_EQ(history.skipped_lines, 3);
}

TEST(RunHistoryTest, LeavesOutWhatIsMissingOrNotFinite) {
  const RunHistory history = ParseRunHistory(
      R"({"tag": "train_inner", "num_updates": "25", "loss": "nan", "lr": "inf"}
{"tag": "train_inner", "loss": "4"}
{"loss": "4", "num_updates": "50"}
{"tag": 7, "num_updates": {}}
{"tag": "train_inner", "num_updates": "75", "loss": null, "gnorm": 2}
)");

  EXPECT_THAT(history.train_loss, IsEmpty());
  EXPECT_THAT(history.learning_rate, IsEmpty());
  EXPECT_THAT(history.gradient_norm, ElementsAre(CurvePoint{75, 2}));
  EXPECT_EQ(history.skipped_lines, 0);
}

TEST(RunHistoryTest, LaterLinesOfAResumedRunWin) {
  const std::string text = Inner(100, 5) + Valid(100, 4.5) + Inner(200, 4) +
                           Valid(250, 3.5) + Inner(300, 3) +
                           // resumed from a save at update 150
                           Inner(200, 4.25) + Valid(250, 3.75);

  const RunHistory history = ParseRunHistory(text);

  EXPECT_THAT(history.train_loss,
              ElementsAre(CurvePoint{100, 5}, CurvePoint{200, 4.25}));
  EXPECT_THAT(history.valid_loss,
              ElementsAre(CurvePoint{100, 4.5}, CurvePoint{250, 3.75}));
  EXPECT_EQ(history.restarts, 1);
  EXPECT_EQ(history.last_update, 250);
}

TEST(RunHistoryTest, ReadsAFileAndNamesAMissingOne) {
  const TempDir folder;
  const std::string path = folder.Write("train.jsonl", Inner(25, 5));

  ASSERT_OK_AND_ASSIGN(const RunHistory history, ReadRunHistory(path));

  EXPECT_EQ(history.train_loss.size(), 1U);
  EXPECT_THAT(ReadRunHistory(folder.File("nothing")),
              StatusIs(absl::StatusCode::kNotFound, "nothing"));
}

TEST(ThinOutTest, LeavesAShortCurveAsItIs) {
  const Curve curve = {{1, 2}, {2, 3}, {3, 1}, {4, 0}};

  EXPECT_EQ(ThinOut(curve, 4), curve);
}

TEST(ThinOutTest, KeepsEndsSpikesAndOrder) {
  Curve curve;
  for (int i = 0; i < 100'000; ++i) curve.push_back({i + 1.0, 1.0});
  curve[41'234].value = 9;
  curve[41'235].value = -9;

  const Curve thin = ThinOut(curve, 2000);

  EXPECT_LE(thin.size(), 2000U);
  EXPECT_EQ(thin.front(), curve.front());
  EXPECT_EQ(thin.back(), curve.back());
  EXPECT_THAT(thin, testing::Contains(curve[41'234]));
  EXPECT_THAT(thin, testing::Contains(curve[41'235]));
  for (size_t i = 1; i < thin.size(); ++i) {
    ASSERT_LT(thin[i - 1].update, thin[i].update);
  }
}

TEST(SmoothTest, AveragesAroundEachPoint) {
  const Curve smooth = Smooth({{1, 3}, {2, 6}, {3, 0}, {4, 3}}, 3);

  EXPECT_THAT(smooth, ElementsAre(CurvePoint{1, 4.5}, CurvePoint{2, 3},
                                  CurvePoint{3, 3}, CurvePoint{4, 1.5}));
}

}  // namespace
}  // namespace spanlm
