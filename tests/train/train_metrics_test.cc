// SPDX-License-Identifier: Apache-2.0
#include "train/train_metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/train/trainer_fixture.h"

namespace spanlm {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

// What a scraper gets at "127.0.0.1:port"; empty if it cannot connect.
std::string Scrape(const std::string& listener) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(
      std::stoi(listener.substr(listener.rfind(':') + 1))));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ==
      0) {
    const std::string request =
        "GET /metrics HTTP/1.0\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(write(fd, request.data(), request.size()),
              static_cast<ssize_t>(request.size()));
    shutdown(fd, SHUT_WR);  // or the server lingers
    char buffer[4096];
    for (ssize_t size; (size = read(fd, buffer, sizeof(buffer))) > 0;) {
      answer.append(buffer, static_cast<size_t>(size));
    }
  }
  close(fd);
  return answer;
}

std::vector<std::string> LinesFrom(const std::string& text,
                                   const std::string& start) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) {
    if (absl::StartsWith(line, start)) lines.push_back(line);
  }
  return lines;
}

// The value of spanlm_train_`name`, labels included; NaN if it is not there.
double Value(const std::string& text, const std::string& name) {
  const std::string start = "spanlm_train_" + name + " ";
  const std::vector<std::string> lines = LinesFrom(text, start);
  EXPECT_EQ(lines.size(), 1U) << start;
  return lines.size() == 1 ? std::stod(lines[0].substr(start.size())) : NAN;
}

// What docs/operations.md lists.
TEST(TrainMetricsTest, ServesEveryMetricAtTheRealPort) {
  ASSERT_OK_AND_ASSIGN(const auto metrics, TrainMetrics::Listen("127.0.0.1:0"));
  EXPECT_THAT(metrics->address(), StartsWith("127.0.0.1:"));

  const std::string text = Scrape(metrics->address());

  EXPECT_THAT(text, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(LinesFrom(text, "# TYPE spanlm_train_"),
              UnorderedElementsAre(
                  "# TYPE spanlm_train_step gauge",
                  "# TYPE spanlm_train_bits_per_byte gauge",
                  "# TYPE spanlm_train_bytes_total counter",
                  "# TYPE spanlm_train_overflows_total counter",
                  "# TYPE spanlm_train_step_seconds histogram",
                  "# TYPE spanlm_train_grad_norm gauge",
                  "# TYPE spanlm_train_learning_rate gauge",
                  "# TYPE spanlm_train_loss_scale gauge",
                  "# TYPE spanlm_train_mean_span_bytes gauge",
                  "# TYPE spanlm_train_checkpoint_timestamp_seconds gauge"));
}

TEST(TrainMetricsTest, ASkippedUpdateMovesNoFigureOfTheModel) {
  ASSERT_OK_AND_ASSIGN(const auto metrics, TrainMetrics::Listen("127.0.0.1:0"));
  UpdateReport report;
  report.nats = 3 * M_LN2;
  report.scored = 2;
  report.positions = 4;
  report.step.gradient_norm = 0.5;
  metrics->CountUpdate(report, absl::Seconds(2));
  report.nats = INFINITY;
  report.step.gradient_norm = INFINITY;
  report.overflowed = true;
  metrics->CountUpdate(report, absl::Seconds(1));

  const std::string text = Scrape(metrics->address());

  EXPECT_EQ(Value(text, "bits_per_byte{split=\"train\"}"), 1.5);
  EXPECT_EQ(Value(text, "grad_norm"), 0.5);
  EXPECT_EQ(Value(text, "overflows_total"), 1);
  EXPECT_EQ(Value(text, "bytes_total"), 8);
  EXPECT_EQ(Value(text, "step_seconds_count"), 2);
  EXPECT_EQ(Value(text, "step_seconds_sum"), 3);
}

TEST(TrainMetricsTest, RefusesAnAddressInUseAndWhatIsNone) {
  ASSERT_OK_AND_ASSIGN(const auto metrics, TrainMetrics::Listen("127.0.0.1:0"));

  EXPECT_THAT(
      TrainMetrics::Listen(metrics->address()),
      StatusIs(absl::StatusCode::kUnavailable, metrics->address().c_str()));
  EXPECT_THAT(
      TrainMetrics::Listen("nowhere"),
      StatusIs(absl::StatusCode::kInvalidArgument, "--metrics-listen nowhere"));
}

class TrainMetricsRunTest : public TrainerTest {};

TEST_F(TrainMetricsRunTest, ARunSaysWhereItListensAndWhatItsLogSays) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.schedule.max_update = 3;
  options.metrics_listen = "127.0.0.1:0";
  testing::internal::CaptureStderr();
  const auto trainer = Trainer::Create(options, &stop_, group_.get());
  const std::string said = testing::internal::GetCapturedStderr();
  ASSERT_OK(trainer);
  ASSERT_OK((*trainer)->Run());
  const std::string start = "metrics at ";
  ASSERT_THAT(said, HasSubstr(start + "127.0.0.1:"));
  const size_t begin = said.find(start) + start.size();

  const std::string text =
      Scrape(said.substr(begin, said.find('\n', begin) - begin));

  const nlohmann::json log = LogLines(SaveDir(), "train_inner").back();
  const nlohmann::json valid = LogLines(SaveDir(), "valid").back();
  const auto logged = [](const nlohmann::json& line, const char* key) {
    return std::stod(line[key].get<std::string>());
  };
  EXPECT_EQ(Value(text, "step"), 3);
  EXPECT_EQ(Value(text, "step_seconds_count"), 3);
  EXPECT_EQ(Value(text, "bytes_total"), 3 * 4 * 16);
  EXPECT_EQ(Value(text, "overflows_total"), 0);
  EXPECT_NEAR(Value(text, "bits_per_byte{split=\"train\"}"),
              logged(log, "bits_per_byte"), 1e-4);
  EXPECT_NEAR(Value(text, "bits_per_byte{split=\"valid\"}"),
              logged(valid, "valid_bits_per_byte"), 1e-4);
  EXPECT_NEAR(Value(text, "grad_norm"), logged(log, "gnorm"), 1e-3);
  EXPECT_NEAR(Value(text, "learning_rate"), logged(log, "lr"), 1e-6);
  EXPECT_NEAR(Value(text, "mean_span_bytes"), logged(log, "avg_span"), 1e-3);
  EXPECT_GT(Value(text, "checkpoint_timestamp_seconds"), 0);
}

}  // namespace
}  // namespace spanlm
