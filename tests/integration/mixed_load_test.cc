// SPDX-License-Identifier: Apache-2.0
// Many clients at once, some of which go away: every answer has the very bits
// that it has alone, and afterwards nothing is left.
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/runtime/cpu_engine.h"
#include "gtest/gtest.h"
#include "tests/integration/load_client.h"
#include "tests/integration/watched_engine.h"
#include "tests/server/rpc/served_fixture.h"
#include "tests/support/memory_model.h"

namespace spanlm {
namespace {

constexpr int kClients = 64;
constexpr int kCallsPerClient = 5;  // one of which is cancelled
constexpr int kCommonQuestions = 20;
constexpr int kSlots = 9;  // one of which evaluations leave to others

// Far too long to be done before a cancellation comes.
constexpr size_t kEndless = 30000;

// Random bytes, `first` in front.
std::string TextOf(uint8_t first, size_t size, std::mt19937* random) {
  std::string text(1, static_cast<char>(first));
  while (text.size() < size) {
    const uint32_t draw = (*random)();
    text.push_back(draw % 16 == 0 ? '\n' : static_cast<char>(draw >> 8 & 0xFF));
  }
  return text;
}

// Below kClients: the question that this client cancels. Each such text begins
// with its client's number, and no other text begins with a byte so small.
std::vector<Question> MakeQuestions() {
  std::mt19937 random(1);
  std::vector<Question> questions;
  for (int i = 0; i < kClients + kCommonQuestions; ++i) {
    const bool is_cancelled = i < kClients;
    Question question;
    question.kind = static_cast<QuestionKind>(i % kQuestionKindCount);
    const bool generates = question.kind == QuestionKind::kGenerate ||
                           question.kind == QuestionKind::kGenerateStream;
    const size_t size = generates ? 40 : is_cancelled ? kEndless : 200;
    question.text = TextOf(static_cast<uint8_t>(is_cancelled ? i : 255),
                           size + random() % size, &random);
    question.max_bytes = is_cancelled ? kEndless : 15 + random() % 20;
    // Even: an evaluation that is cancelled begins with its text.
    question.seed = is_cancelled ? 2 * i : random() % 1000;
    questions.push_back(question);
  }
  return questions;
}

class MixedLoadTest : public ServedTest {
 protected:
  void SetUp() override {
    ModelFields fields = SmallAdaptiveSpan();
    fields.vocab_size = 256;
    fields.symbols = AllBytes();
    const MemoryModel model = RandomModel(fields, {0.0F, 0.3F, 0.1F, 0.6F}, 17);
    options_.engine.threads = 2;
    options_.max_step_bytes = 96;
    StartWith([&](const std::string& /*dir*/, const EngineOptions& options)
                  -> absl::StatusOr<std::unique_ptr<Engine>> {
      EngineOptions fitted = options;
      fitted.state_budget_bytes = kSlots * StateBytes(model, options);
      auto engine = CpuEngine::Create(model.config, model.tensors, {}, fitted);
      if (!engine.ok()) return engine.status();
      auto watched = std::make_unique<WatchedEngine>(*std::move(engine));
      watched_ = watched.get();
      return watched;
    });
    ASSERT_NE(server_, nullptr);
    ASSERT_EQ(watched_->info().slot_count, kSlots);
  }
  ~MixedLoadTest() override {
    if (server_ != nullptr) watched_->Release();
  }

  static int64_t StateBytes(const MemoryModel& model,
                            const EngineOptions& options) {
    return (*CpuEngine::Create(model.config, model.tensors, {}, options))
        ->info()
        .state_bytes;
  }

  // Each common question's answer when nothing else runs.
  void AskAlone() {
    LoadClient client(server_->address());
    alone_.resize(questions_.size());
    for (size_t i = kClients; i < questions_.size(); ++i) {
      grpc::ClientContext context;
      const grpc::Status status =
          client.Ask(questions_[i], &context, nullptr, &alone_[i]);
      EXPECT_TRUE(status.ok()) << i << ": " << status.error_message();
    }
  }

  // All calls of one client.
  void RunClient(int number) {
    LoadClient client(server_->address());
    std::mt19937 random(static_cast<uint32_t>(100 + number));
    const int cancelled_call = static_cast<int>(random() % kCallsPerClient);
    for (int call = 0; call < kCallsPerClient; ++call) {
      if (call == cancelled_call) {
        CancelMidway(&client, number);
        continue;
      }
      const size_t i = kClients + random() % kCommonQuestions;
      grpc::ClientContext context;
      std::string answer;
      const grpc::Status status =
          client.Ask(questions_[i], &context, nullptr, &answer);
      EXPECT_TRUE(status.ok()) << i << ": " << status.error_message();
      EXPECT_TRUE(answer == alone_[i]) << "question " << i;
    }
  }

  // The client's own question, cancelled after the first message of a stream or
  // else in the step that reads the first bytes of its text.
  void CancelMidway(LoadClient* client, int number) {
    const auto i = static_cast<size_t>(number);
    const QuestionKind kind = questions_[i].kind;
    const bool has_messages = kind == QuestionKind::kScoreStream ||
                              kind == QuestionKind::kGenerateStream;
    grpc::ClientContext context;
    const auto cancel = [&context] { context.TryCancel(); };
    const auto first = static_cast<uint16_t>(number);
    if (!has_messages) watched_->OnBegin(first, cancel);
    std::string answer;
    const grpc::Status status =
        client->Ask(questions_[i], &context,
                    has_messages ? cancel : std::function<void()>(), &answer);
    watched_->Forget(first);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED)
        << i << ": " << status.error_message();
  }

  double Requests(const std::string& outcome) const {
    double sum = 0;
    for (const char* kind : kKindLabels) {
      sum +=
          Metric(absl::StrCat("spanlm_requests_total{kind=\"", kind,
                              "\",model=\"fake\",outcome=\"", outcome, "\"}"));
    }
    return sum;
  }
  double Steps() const {
    return Metric(R"(spanlm_step_sequences_count{model="fake"})");
  }
  // Those with more than one text.
  double SharedSteps() const {
    return Steps() -
           Metric(R"(spanlm_step_sequences_bucket{model="fake",le="1"})");
  }

  WatchedEngine* watched_ = nullptr;
  const std::vector<Question> questions_ = MakeQuestions();
  std::vector<std::string> alone_;
};

TEST_F(MixedLoadTest, EveryAnswerEqualsItsAnswerAloneAndNothingIsLeft) {
  AskAlone();
  ASSERT_TRUE(Eventually([this] { return IsIdle(); }));
  const double alone_count = kCommonQuestions;
  ASSERT_EQ(Requests("ok"), alone_count);
  const double steps_alone = Steps();
  const double shared_alone = SharedSteps();

  // No step ends before all are there, so that they queue and share steps.
  watched_->Hold();
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([this, i] { RunClient(i); });
  }
  EXPECT_TRUE(Eventually([this] {
    return MetricSum("spanlm_requests_running") +
               MetricSum("spanlm_requests_waiting") ==
           kClients;
  }));
  EXPECT_GE(MetricSum("spanlm_requests_waiting"), kClients - kSlots);
  watched_->Release();
  for (std::thread& client : clients) client.join();

  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
  const double count = alone_count + kClients * kCallsPerClient;
  EXPECT_EQ(MetricSum("grpc_server_started_total"), count);
  EXPECT_EQ(MetricSum("spanlm_requests_total"), count);
  EXPECT_EQ(Requests("ok") + Requests("cancelled"), count);
  // One call of five was cancelled; a few may have ended at the server before
  // it heard of it.
  EXPECT_LE(Requests("cancelled"), kClients);
  EXPECT_GT(Requests("cancelled"), kClients / 2);
  // The last text may be alone, and whoever waits for its client is not there.
  EXPECT_GT(SharedSteps() - shared_alone, (Steps() - steps_alone) / 2);
}

}  // namespace
}  // namespace spanlm
