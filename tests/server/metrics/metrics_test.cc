// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/metrics.h"

#include <atomic>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

using testing::HasSubstr;
using testing::Not;

const BuildInfo kBuild = {"1.2.3", "abc", "gcc", "cpu"};

ModelFacts Facts(const std::string& name) {
  ModelFacts facts;
  facts.name = name;
  facts.version = "1";
  facts.digest = "d16e57";
  facts.architecture = "adaptive_span";
  facts.device = "cpu";
  facts.weights_bytes = 1000;
  facts.state_bytes = 4096;
  facts.slots_bytes = 8192;
  facts.load_time = absl::Milliseconds(1500);
  return facts;
}

std::vector<std::string> Lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(MetricsTest, CountersExistBeforeTheyCount) {
  Metrics metrics(kBuild);
  metrics.AddModel(Facts("m"));
  metrics.AddMethod("unary", "spanlm.v1.ScoringService", "Score");

  const std::string text = metrics.Text();

  for (const char* kind : kKindLabels) {
    for (const char* outcome : kOutcomeLabels) {
      EXPECT_THAT(
          text, HasSubstr(std::string("spanlm_requests_total{kind=\"") + kind +
                          "\",model=\"m\",outcome=\"" + outcome + "\"} 0\n"));
    }
  }
  for (const char* reason : kRejectionLabels) {
    EXPECT_THAT(text,
                HasSubstr(std::string("spanlm_rejections_total{reason=\"") +
                          reason + "\"} 0\n"));
  }
  for (const char* name :
       {"spanlm_generated_bytes_total", "spanlm_scored_bytes_total",
        "spanlm_read_bytes_total", "spanlm_finish_total",
        "spanlm_logits_nan_total", "spanlm_request_queue_seconds_count",
        "spanlm_time_to_first_byte_seconds_count",
        "spanlm_inter_byte_seconds_count", "spanlm_request_bytes_count",
        "spanlm_step_seconds_count", "spanlm_step_sequences_count",
        "spanlm_step_bytes_count", "grpc_server_started_total",
        "grpc_server_msg_received_total", "grpc_server_msg_sent_total",
        "grpc_server_handling_seconds_count"}) {
    EXPECT_THAT(text, HasSubstr(std::string("\n") + name + "{")) << name;
  }
  EXPECT_THAT(text,
              HasSubstr("grpc_server_handled_total{grpc_code=\"Unavailable\","
                        "grpc_method=\"Score\",grpc_service=\"spanlm.v1."
                        "ScoringService\",grpc_type=\"unary\"} 0\n"));
}

TEST(MetricsTest, CountsOutcomesRejectionsAndBytes) {
  Metrics metrics(kBuild);
  ModelMetrics* const model = metrics.AddModel(Facts("m"));
  model->CountRequest(1, Outcome::kDeadline);
  model->CountRejection("QUEUE_BYTES");
  model->CountRejection("whatever a client made up");
  model->CountBytes(2, 10, 20, 0);
  model->CountBytes(2, 1, 2, 3);
  model->CountFinish(FinishLabel::kMaxBytes);
  model->CountNan();

  const std::string text = metrics.Text();

  for (const char* line :
       {"spanlm_requests_total{kind=\"generate\",model=\"m\",outcome="
        "\"deadline\"} 1\n",
        "spanlm_rejections_total{reason=\"QUEUE_BYTES\"} 1\n",
        "spanlm_rejections_total{reason=\"other\"} 1\n",
        "spanlm_read_bytes_total{kind=\"evaluate\",model=\"m\"} 11\n",
        "spanlm_scored_bytes_total{kind=\"evaluate\",model=\"m\"} 22\n",
        "spanlm_generated_bytes_total{kind=\"evaluate\",model=\"m\"} 3\n",
        "spanlm_finish_total{model=\"m\",reason=\"max_bytes\"} 1\n",
        "spanlm_logits_nan_total{model=\"m\"} 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("made up")));
}

TEST(MetricsTest, CountsWhatNoModelTook) {
  Metrics metrics(kBuild);
  metrics.CountUnserved("other", 0, Outcome::kInvalid, "");
  metrics.CountUnserved("m", 1, Outcome::kRejected, "LOADING");
  metrics.AddModel(Facts("m"))->CountRequest(1, Outcome::kRejected);

  const std::string text = metrics.Text();

  for (const char* line :
       {"spanlm_requests_total{kind=\"score\",model=\"other\",outcome="
        "\"invalid\"} 1\n",
        "spanlm_requests_total{kind=\"generate\",model=\"m\",outcome="
        "\"rejected\"} 2\n",
        "spanlm_rejections_total{reason=\"LOADING\"} 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(MetricsTest, AModelIsInOneState) {
  Metrics metrics(kBuild);
  metrics.SetModelState("m", ModelState::kLoading);
  const std::string line = "spanlm_model_state{model=\"m\",state=";
  EXPECT_THAT(metrics.Text(), HasSubstr(line + "\"loading\"} 1\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr(line + "\"ready\"} 0\n"));

  metrics.AddModel(Facts("m"));
  EXPECT_THAT(metrics.Text(), HasSubstr(line + "\"loading\"} 0\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr(line + "\"ready\"} 1\n"));
}

TEST(MetricsTest, HistogramsHoldTheirBuckets) {
  Metrics metrics(kBuild);
  ModelMetrics* const model = metrics.AddModel(Facts("m"));
  model->ObserveStep(StepPhase::kMixed, absl::Milliseconds(3), 5, 300);
  model->ObserveQueue(0, absl::Seconds(400));
  model->ObserveTimeToFirstByte(absl::Milliseconds(30));
  model->ObserveInterByte(absl::Microseconds(150));
  model->ObserveRequestBytes(100, 1 << 20);

  const std::string text = metrics.Text();

  for (const char* line :
       {"spanlm_step_seconds_bucket{model=\"m\",phase=\"mixed\",le=\"0.002\"} "
        "0\n",
        "spanlm_step_seconds_bucket{model=\"m\",phase=\"mixed\",le=\"0.005\"} "
        "1\n",
        "spanlm_step_sequences_bucket{model=\"m\",le=\"4\"} 0\n",
        "spanlm_step_sequences_bucket{model=\"m\",le=\"8\"} 1\n",
        "spanlm_step_sequences_bucket{model=\"m\",le=\"512\"} 1\n",
        "spanlm_step_bytes_bucket{model=\"m\",le=\"65536\"} 1\n",
        "spanlm_request_queue_seconds_bucket{kind=\"score\",model=\"m\",le="
        "\"300\"} 0\n",
        "spanlm_request_queue_seconds_bucket{kind=\"score\",model=\"m\",le="
        "\"1800\"} 1\n",
        "spanlm_inter_byte_seconds_sum{model=\"m\"} 0.00015\n",
        "spanlm_request_bytes_bucket{direction=\"in\",model=\"m\",le=\"64\"} "
        "0\n",
        "spanlm_request_bytes_bucket{direction=\"in\",model=\"m\",le=\"256\"} "
        "1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(MetricsTest, StartedLessHandledIsInFlight) {
  Metrics metrics(kBuild);
  RpcMetrics* const score = metrics.AddMethod("unary", "s", "Score");
  score->Started();
  score->Started();
  score->MessageReceived();
  score->MessageSent();
  score->Handled(8, absl::Seconds(1));
  score->Handled(99, absl::Seconds(1));

  const std::string text = metrics.Text();

  const std::string labels =
      "grpc_method=\"Score\",grpc_service=\"s\",grpc_type=\"unary\"";
  for (const std::string& line :
       {"grpc_server_started_total{" + labels + "} 2\n",
        "grpc_server_handled_total{grpc_code=\"ResourceExhausted\"," + labels +
            "} 1\n",
        "grpc_server_handled_total{grpc_code=\"Unknown\"," + labels + "} 1\n",
        "grpc_server_msg_received_total{" + labels + "} 1\n",
        "grpc_server_msg_sent_total{" + labels + "} 1\n",
        "grpc_server_handling_seconds_sum{" + labels + "} 2\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(MetricsTest, GaugesAreReadAtTheScrape) {
  Metrics metrics(kBuild);
  metrics.AddModel(Facts("m"));
  ModelGauges now;
  metrics.SetGauges("m", [&now] { return now; });
  now.running[0][1] = 3;
  now.waiting[2][2] = 4;
  now.queue_bytes = 5;
  now.busy_slots = 6;
  now.slot_count = 8;
  now.heartbeat = absl::FromUnixMillis(1234500);

  const std::string text = metrics.Text();

  for (const char* line :
       {"spanlm_requests_running{model=\"m\",kind=\"score\",priority="
        "\"standard\"} 3\n",
        "spanlm_requests_waiting{model=\"m\",kind=\"evaluate\",priority="
        "\"batch\"} 4\n",
        "spanlm_queue_bytes{model=\"m\"} 5\n",
        "spanlm_session_slots{model=\"m\",location=\"device\",state=\"busy\"} "
        "6\n",
        "spanlm_session_slots{model=\"m\",location=\"device\",state=\"free\"} "
        "2\n",
        "spanlm_session_slots{model=\"m\",location=\"host\",state=\"free\"} "
        "0\n",
        "spanlm_cache_usage_ratio{model=\"m\"} 0.75\n",
        "spanlm_engine_heartbeat_timestamp_seconds{model=\"m\"} 1234.5\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  now.running[0][1] = 0;
  EXPECT_THAT(metrics.Text(),
              HasSubstr("spanlm_requests_running{model=\"m\",kind=\"score\","
                        "priority=\"standard\"} 0\n"));
}

TEST(MetricsTest, RemovedGaugesAreNotAskedAgain) {
  Metrics metrics(kBuild);
  metrics.AddModel(Facts("m"));
  std::atomic<bool> is_alive{true};
  std::atomic<int> reads{0};
  metrics.SetGauges("m", [&is_alive, &reads] {
    EXPECT_TRUE(is_alive.load());
    ++reads;
    return ModelGauges();
  });
  std::atomic<bool> stop{false};
  std::thread scraper([&metrics, &stop] {
    while (!stop.load()) metrics.Text();
  });
  while (reads.load() < 3) std::this_thread::yield();
  metrics.RemoveGauges("m");
  is_alive = false;

  const int reads_before = reads.load();
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("spanlm_queue_bytes{")));
  EXPECT_EQ(reads.load(), reads_before);
  stop = true;
  scraper.join();
}

TEST(MetricsTest, DescribesModelsAndBuild) {
  Metrics metrics(kBuild);
  ModelFacts facts = Facts("m");
  facts.attention_spans = {{12.5F, 64}, {7, 8}};
  metrics.AddModel(facts);
  metrics.AddModel(Facts("other"));

  const std::string text = metrics.Text();

  for (const char* line :
       {"spanlm_build_info{compiler=\"gcc\",device=\"cpu\",revision=\"abc\","
        "version=\"1.2.3\"} 1\n",
        "spanlm_model_info{architecture=\"adaptive_span\",digest=\"d16e57\","
        "model=\"m\",version=\"1\"} 1\n",
        "spanlm_session_state_bytes{model=\"m\"} 4096\n",
        "spanlm_model_load_seconds{model=\"other\"} 1.5\n",
        "spanlm_device_memory_bytes{device=\"cpu\",kind=\"weights\"} 2000\n",
        "spanlm_device_memory_bytes{device=\"cpu\",kind=\"state\"} 16384\n",
        "spanlm_attention_span_bytes{head=\"1\",layer=\"0\",model=\"m\"} 64\n",
        "spanlm_attention_span_bytes{head=\"0\",layer=\"1\",model=\"m\"} "
        "7\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("head=\"0\",layer=\"0\",model=\"other\"")));
}

TEST(MetricsTest, EvaluationGaugesLiveAsLongAsTheirEvaluations) {
  Metrics metrics(kBuild);
  ModelMetrics* const model = metrics.AddModel(Facts("m"));
  const std::string line =
      "spanlm_evaluation_bits_per_byte{dataset=\"d.txt\",model=\"m\"} 1.25\n";
  {
    EvaluationGauges first(model, "d.txt");
    {
      EvaluationGauges second(model, "d.txt");
      first.Set(0.5, 1.25);
      EXPECT_THAT(metrics.Text(), HasSubstr(line));
    }
    EXPECT_THAT(metrics.Text(), HasSubstr(line));
    EXPECT_THAT(metrics.Text(),
                HasSubstr("spanlm_evaluation_progress_ratio{dataset=\"d.txt\","
                          "model=\"m\"} 0.5\n"));
  }
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("d.txt")));
}

TEST(MetricsTest, TellsOfTheProcess) {
  const std::string text = Metrics(kBuild).Text();
  const auto value = [&text](const std::string& name) {
    const std::string start = "\n" + name + " ";
    const size_t found = text.find(start);
    return found == std::string::npos
               ? -1
               : std::stod(text.substr(found + start.size()));
  };

  EXPECT_GT(value("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GE(value("process_virtual_memory_bytes"),
            value("process_resident_memory_bytes"));
  EXPECT_GE(value("process_cpu_seconds_total"), 0);
  EXPECT_GE(value("process_open_fds"), 3);
  EXPECT_GE(value("process_max_fds"), value("process_open_fds"));
  EXPECT_GT(value("process_start_time_seconds"), 1.5e9);
}

// The rules of promtool's check: names, units and help of every family.
TEST(MetricsTest, NamesAndHelpFollowTheConventions) {
  Metrics metrics(kBuild);
  ModelMetrics* const model = metrics.AddModel(Facts("m"));
  metrics.AddMethod("unary", "s", "Score");
  metrics.SetGauges("m", [] { return ModelGauges(); });
  const EvaluationGauges evaluation(model, "d");
  const std::string letters = "abcdefghijklmnopqrstuvwxyz";
  std::set<std::string> seen, helped;
  for (const std::string& line : Lines(metrics.Text())) {
    std::istringstream words(line);
    std::string hash, what, name, type;
    words >> hash >> what >> name >> type;
    if (hash != "#") continue;
    EXPECT_EQ(name.find_first_of(letters), 0U) << name;
    EXPECT_EQ(name.find_first_not_of(letters + "0123456789_"),
              std::string::npos)
        << name;
    if (what == "HELP") {
      EXPECT_FALSE(type.empty()) << name;
      EXPECT_TRUE(helped.insert(name).second) << name << " comes twice";
    }
    if (what != "TYPE") continue;
    const bool is_total =
        name.size() > 6 && name.compare(name.size() - 6, 6, "_total") == 0;
    EXPECT_EQ(is_total, type == "counter") << name;
    EXPECT_EQ(name.find("milli"), std::string::npos) << name;
    seen.insert(name);
  }
  EXPECT_EQ(seen, helped);
  EXPECT_GT(seen.size(), 30u);
}

}  // namespace
}  // namespace spanlm
