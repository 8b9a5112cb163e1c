// SPDX-License-Identifier: Apache-2.0
#include "client/progress.h"

#include <algorithm>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

class ProgressTest : public testing::Test {
 protected:
  Progress Make(Progress::Mode mode) {
    return Progress(out_, mode, [this] { return now_; });
  }

  std::ostringstream out_;
  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(ProgressTest, CountsSpeedFromTheFirstUpdate) {
  Progress progress = Make(Progress::Mode::kLines);
  progress.Update({100'000, 200'000, 2.5});
  now_ += absl::Seconds(10);

  progress.Update({150'000, 200'000, 2.25});

  EXPECT_EQ(out_.str(),
            " 50.0 %  100.0 kB  2.5000 bits per byte\n"
            " 75.0 %  150.0 kB  5.0 kB/s  0:10 left  2.2500 bits per byte\n");
}

TEST_F(ProgressTest, PrintsALineForEachPercentOnly) {
  Progress progress = Make(Progress::Mode::kLines);
  for (int64_t done = 0; done <= 1000; ++done) {
    progress.Update({done, 1000, 1});
  }

  const std::string text = out_.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 101);
}

TEST_F(ProgressTest, DrawsATerminalsLineAgainAndClearsIt) {
  Progress progress = Make(Progress::Mode::kTerminal);
  progress.Update({10, 100, 1});
  progress.Update({11, 100, 1});  // too soon to be drawn
  now_ += absl::Milliseconds(100);
  progress.Update({12, 100, 1});
  progress.Finish();

  EXPECT_EQ(out_.str(),
            "\r\x1b[K 10.0 %  10 B  1.0000 bits per byte"
            "\r\x1b[K 12.0 %  12 B  20 B/s  0:04 left  1.0000 bits per byte"
            "\r\x1b[K");
}

TEST_F(ProgressTest, SaysNothingWhereNobodyLooks) {
  Progress progress = Make(Progress::Mode::kNone);
  progress.Update({10, 100, 1});
  progress.Finish();

  EXPECT_EQ(out_.str(), "");
}

TEST_F(ProgressTest, DoesWithoutATotal) {
  Progress progress = Make(Progress::Mode::kTerminal);
  progress.Update({2'500'000, -1, 2});

  EXPECT_EQ(out_.str(), "\r\x1b[K2.5 MB  2.0000 bits per byte");
}

TEST_F(ProgressTest, FormatsHours) {
  Progress progress = Make(Progress::Mode::kLines);
  progress.Update({0, 1'000'000, 0});
  now_ += absl::Seconds(100);

  progress.Update({10'000, 1'000'000, 2});

  EXPECT_THAT(out_.str(), testing::HasSubstr("2:45:00 left"));
}

}  // namespace
}  // namespace spanlm
