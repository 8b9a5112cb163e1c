// SPDX-License-Identifier: Apache-2.0
#include "train/progress_line.h"

#include <pty.h>
#include <unistd.h>

#include <functional>
#include <iostream>
#include <string>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

const absl::Time kStart = absl::FromUnixSeconds(1000);

TEST(ProgressLineTest, ShowsShareRateAndTimeLeft) {
  ProgressText text("eval", 1000, "bytes");
  text.At(0, kStart);
  const std::string line = text.At(250, kStart + absl::Seconds(5));

  EXPECT_THAT(line, HasSubstr("eval [######..................]  25%"));
  EXPECT_THAT(line, EndsWith("250/1000 bytes, 50/s, 15s left"));
}

// A run that goes on at update 600 has not done those 600 just now.
TEST(ProgressLineTest, RateIsOfWhatIsDoneAfterTheFirstCall) {
  ProgressText text("train", 1000, "updates");

  EXPECT_THAT(text.At(600, kStart), EndsWith(" 60% 600/1000 updates"));
  EXPECT_THAT(text.At(610, kStart + absl::Seconds(5)),
              EndsWith("610/1000 updates, 2.00/s, 3m15s left"));
  EXPECT_THAT(text.At(620, kStart + absl::Seconds(80)),
              EndsWith("620/1000 updates, 0.25/s, 25m20s left"));
}

TEST(ProgressLineTest, HoldsAtTheEdges) {
  const auto after_a_second = [](int64_t done, int64_t total) {
    ProgressText text("a", total, "bytes");
    text.At(0, kStart);
    return text.At(done, kStart + absl::Seconds(1));
  };
  EXPECT_THAT(after_a_second(0, 10), EndsWith("  0% 0/10 bytes"));
  EXPECT_THAT(after_a_second(0, 0), HasSubstr("100%"));
  EXPECT_THAT(after_a_second(12, 10),
              HasSubstr("[########################] 100%"));
}

TEST(ProgressLineTest, IsSilentWhereStderrIsNoTerminal) {
  testing::internal::CaptureStderr();
  {
    ProgressLine line("eval", 10, "bytes");
    line.Update(5);
    line.Update(10);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// What `body` writes to stderr where that is a terminal.
std::string OnTerminal(const std::function<void()>& body) {
  int terminal = -1, program = -1;
  EXPECT_EQ(openpty(&terminal, &program, nullptr, nullptr, nullptr), 0);
  const int before = dup(STDERR_FILENO);
  dup2(program, STDERR_FILENO);
  body();
  dup2(before, STDERR_FILENO);
  close(before);
  close(program);
  std::string text;
  char byte = 0;
  while (read(terminal, &byte, 1) == 1) text += byte;
  close(terminal);
  return text;
}

TEST(ProgressLineTest, MakesPlaceForALineAndComesBack) {
  const std::string text = OnTerminal([] {
    ProgressLine line("train", 10, "updates");
    line.Clear();  // nothing is there yet
    line.Update(1);
    line.Clear();
    std::cerr << "a line\n";
    line.Update(2);
  });

  EXPECT_THAT(text, MatchesRegex("\r[^\r]*1/10 updates\x1b\\[K"
                                 "\r\x1b\\[Ka line\r\n"
                                 "\r[^\r]*2/10 updates[^\r]*\x1b\\[K\r\n"));
}

}  // namespace
}  // namespace spanlm
