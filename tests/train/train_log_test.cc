// SPDX-License-Identifier: Apache-2.0
// Log lines: fairseq's keys in its order and its way to write numbers.
#include "train/train_log.h"

#include <cmath>
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

// An update of one block of 64 rows of 512 whose sums over symbols are these
// means, in bits.
UpdateFigures Figures(double loss, double span_loss, double gradient_norm) {
  UpdateFigures figures;
  figures.report.positions = figures.report.scored = 64 * 512;
  figures.report.nats = loss * M_LN2 * 64 * 512;
  figures.report.span_loss = span_loss * M_LN2;
  figures.report.step.gradient_norm = gradient_norm;
  return figures;
}

std::string Values(const nlohmann::ordered_json& line) {
  std::string values;
  for (const auto& item : line.items()) {
    values += item.value().get<std::string>() + " ";
  }
  return values;
}

MeterOptions ForRows() {
  MeterOptions options;
  options.rows = 64;
  options.block = 512;
  return options;
}

TEST(TrainMetersTest, AveragesSinceTheLastLine) {
  TrainMeters meters(ForRows());
  meters.Add(Figures(9, 0, 0));
  meters.Reset();
  EXPECT_TRUE(meters.empty());
  UpdateFigures figures = Figures(4, 0.5, 0.25);
  figures.duration = absl::Seconds(1);
  figures.spans = {40, 64};
  meters.Add(figures);
  figures = Figures(2, 0.25, 0.5);
  figures.duration = absl::Seconds(3);
  figures.spans = {50, 96};
  meters.Add(figures);
  EXPECT_FALSE(meters.empty());

  const nlohmann::ordered_json line = LineOf(meters, "");

  EXPECT_THAT(Keys(line),
              ElementsAre("loss", "avg_span", "max_span", "total_loss", "ppl",
                          "wps", "ups", "wpb", "bsz", "num_updates", "lr",
                          "gnorm", "train_wall", "wall", "bits_per_byte"));
  EXPECT_EQ(Values(line),
            "3 45 80 3.375 8 16384 0.5 32768 64 25 5.6875e-05 0.375 4 7 3 ");
}

// fairseq's losses are low by what it does not score, and its criterion's
// perplexity is 1; ours, beside them, is per scored symbol.
TEST(TrainMetersTest, CanDivideAsFairseqDoes) {
  MeterOptions options = ForRows();
  options.fairseq_losses = true;
  options.has_loss_scale = true;
  TrainMeters meters(options);
  UpdateFigures figures = Figures(4, 0.5, 0.25);
  figures.report.scored = 64 * 256;
  figures.duration = absl::Seconds(1);
  meters.Add(figures);

  const nlohmann::ordered_json line = LineOf(meters, "");

  EXPECT_THAT(Keys(line),
              ElementsAre("loss", "avg_span", "max_span", "total_loss",
                          "nll_loss", "ppl", "wps", "ups", "wpb", "bsz",
                          "num_updates", "lr", "gnorm", "loss_scale",
                          "train_wall", "wall", "bits_per_byte"));
  EXPECT_EQ(Values(line),
            "4 0 0 4.5 0 1 32768 1 32768 64 25 5.6875e-05 0.25 1 1 7 8 ");
}

TEST(TrainMetersTest, SaysForTransformerXlHowOftenTheClipBit) {
  MeterOptions options = ForRows();
  options.has_spans = false;
  options.has_clip = true;
  TrainMeters meters(options);
  for (const bool clipped : {true, false, true}) {
    UpdateFigures figures = Figures(4, 0, 1);
    figures.report.step.clipped = clipped;
    figures.duration = absl::Seconds(1);
    meters.Add(figures);
  }

  const nlohmann::ordered_json line = LineOf(meters, "train_");

  EXPECT_THAT(
      Keys(line),
      ElementsAre("train_loss", "train_ppl", "train_wps", "train_ups",
                  "train_wpb", "train_bsz", "train_num_updates", "train_lr",
                  "train_gnorm", "train_clip", "train_train_wall", "train_wall",
                  "train_bits_per_byte"));
  EXPECT_EQ(line["train_clip"], "66.7");
}

TEST(TrainMetersTest, AValidationsLineBearsFairseqsKeysAndTheHonestFigure) {
  MeterOptions options = ForRows();
  options.fairseq_losses = true;
  ValidFigures figures;
  figures.validation.bits = 3 * 500;
  figures.validation.scored = 500;
  figures.validation.positions = 600;
  figures.best_bits_per_symbol = 2;
  figures.duration = absl::Seconds(2);
  figures.spans = {40, 64};
  LogRecord record;
  TrainMeters(options).AppendValid(figures, 50, &record);
  const auto line = nlohmann::ordered_json::parse("{" + record.members() + "}");

  EXPECT_THAT(
      Keys(line),
      ElementsAre("valid_loss", "valid_avg_span", "valid_max_span",
                  "valid_total_loss", "valid_nll_loss", "valid_ppl",
                  "valid_wps", "valid_wpb", "valid_bsz", "valid_num_updates",
                  "valid_best_loss", "valid_bits_per_byte"));
  EXPECT_EQ(Values(line), "2.5 40 64 2.5 0 1 300 32768 64 50 1.6667 3 ");
}

}  // namespace
}  // namespace spanlm
