// SPDX-License-Identifier: Apache-2.0
// Log lines: fairseq's keys in its order and its way to write numbers.
#include "train/train_log.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "train/train_meters.h"

namespace spanlm {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

TEST(LogRecordTest, WritesNumbersAsFairseqDoes) {
  LogRecord record;
  record.Integer("epoch", 3)
      .Decimal("update", 2.0004, 3)
      .Decimal("half", 0.5, 3)
      .Rounded("loss", 1.23456, 3)
      .Rounded("wps", 2962060.04, 1)
      .Number("lr", 5.6875e-05)
      .Number("num_updates", 25);

  EXPECT_EQ(record.members(),
            R"("epoch": 3, "update": 2.0, "half": 0.5, "loss": "1.235", )"
            R"("wps": "2.96206e+06", "lr": "5.6875e-05", "num_updates": "25")");
}

TEST(TrainLogTest, WritesTaggedObjectsToTheFileAndPrefixedOnesToStdout) {
  const TempDir folder;
  const std::string path = folder.Write("log", "{\"tag\": \"before\"}\n");
  testing::internal::CaptureStdout();
  ASSERT_OK_AND_ASSIGN(TrainLog log, TrainLog::Open(path, true));
  log.Write("valid", LogRecord().Integer("epoch", 1).Number("x", 2));
  log.Say("train", "for people");
  const std::string out = testing::internal::GetCapturedStdout();

  EXPECT_EQ(ReadFile(path),
            "{\"tag\": \"before\"}\n"
            "{\"tag\": \"valid\", \"epoch\": 1, \"x\": \"2\"}\n");
  EXPECT_THAT(
      out,
      MatchesRegex("[0-9-]+ [0-9:]+ . INFO . valid . ..epoch.: 1, .x.: .2..\n"
                   "[0-9-]+ [0-9:]+ . INFO . train . for people\n"));
}

TEST(TrainLogTest, KeepsObjectsOffStdoutWhenAskedTo) {
  testing::internal::CaptureStdout();
  ASSERT_OK_AND_ASSIGN(TrainLog log, TrainLog::Open("", false));
  log.Write("valid", LogRecord().Integer("epoch", 1));
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST(TrainLogTest, NamesAFileThatItCannotOpen) {
  const TempDir folder;
  EXPECT_THAT(TrainLog::Open(folder.File("none/log"), true),
              StatusIs(absl::StatusCode::kUnavailable, "none/log"));
}

nlohmann::ordered_json LineOf(const TrainMeters& meters,
                              const std::string& prefix) {
  LogRecord record;
  LatestFigures latest;
  latest.update = 25;
  latest.lr = 5.6875e-05;
  latest.wall_seconds = 7.4;
  meters.Append(prefix, latest, &record);
  return nlohmann::ordered_json::parse("{" + record.members() + "}");
}

std::vector<std::string> Keys(const nlohmann::ordered_json& line) {
  std::vector<std::string> keys;
  for (const auto& item : line.items()) keys.push_back(item.key());
  return keys;
}

TEST(TrainMetersTest, AveragesSinceTheLastLine) {
  TrainMeters meters({true, false, 64, 512});
  UpdateFigures figures;
  figures.loss_bits = 9;
  meters.Add(figures);
  meters.Reset();
  EXPECT_TRUE(meters.empty());
  figures = {4.0, 4.5, 0.25, false, absl::Seconds(1), {40, 64}};
  meters.Add(figures);
  figures = {2.0, 2.25, 0.5, false, absl::Seconds(3), {50, 96}};
  meters.Add(figures);
  EXPECT_FALSE(meters.empty());

  const nlohmann::ordered_json line = LineOf(meters, "");

  EXPECT_THAT(Keys(line),
              ElementsAre("loss", "avg_span", "max_span", "total_loss", "ppl",
                          "wps", "ups", "wpb", "bsz", "num_updates", "lr",
                          "gnorm", "train_wall", "wall"));
  std::string values;
  for (const auto& item : line.items()) {
    values += item.value().get<std::string>() + " ";
  }
  EXPECT_EQ(values,
            "3 45 80 3.375 8 16384 0.5 32768 64 25 5.6875e-05 0.375 4 7 ");
}

TEST(TrainMetersTest, SaysForTransformerXlHowOftenTheClipBit) {
  TrainMeters meters({false, true, 4, 16});
  for (const bool clipped : {true, false, true}) {
    UpdateFigures figures;
    figures.clipped = clipped;
    figures.duration = absl::Seconds(1);
    meters.Add(figures);
  }

  const nlohmann::ordered_json line = LineOf(meters, "train_");

  EXPECT_THAT(Keys(line),
              ElementsAre("train_loss", "train_ppl", "train_wps", "train_ups",
                          "train_wpb", "train_bsz", "train_num_updates",
                          "train_lr", "train_gnorm", "train_clip",
                          "train_train_wall", "train_wall"));
  EXPECT_EQ(line["train_clip"], "66.7");
}

}  // namespace
}  // namespace spanlm
