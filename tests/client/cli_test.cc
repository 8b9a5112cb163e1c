// SPDX-License-Identifier: Apache-2.0
#include "client/cli.h"

#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/fake_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using Json = nlohmann::json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::SizeIs;

std::vector<std::string> Keys(const Json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

void SetBits(double bits, v1::Accumulator* accumulator) {
  accumulator->set_low(static_cast<int64_t>(std::ldexp(bits, 32)));
}

// Runs the program against a fake server.
class CliTest : public testing::Test {
 protected:
  int Run(std::vector<std::string> arguments, const std::string& in = "") {
    arguments.insert(arguments.begin(), {"--address", server_.address()});
    return RunAlone(std::move(arguments), in);
  }
  int RunAlone(const std::vector<std::string>& arguments,
               const std::string& in = "") {
    std::istringstream in_stream(in);
    std::ostringstream out;
    std::ostringstream err;
    Console console{in_stream, out, err, /*err_is_terminal=*/false};
    const int code = RunCli(arguments, console);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  Json OutJson() {
    EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1) << out_;
    return Json::parse(out_, nullptr, /*allow_exceptions=*/false);
  }

  // Each byte costs 2 bits.
  void AnswerScores() {
    server_.on_score = [this](auto*, const v1::ScoreRequest& request,
                              v1::ScoreResponse* response) {
      score_request_ = request;
      const int64_t size = request.items(0).continuation().size();
      v1::ScoreResult* result = response->add_results();
      result->set_byte_count(size);
      result->set_greedy(true);
      SetBits(2.0 * size, result->mutable_accumulator());
      if (request.output().per_byte()) {
        for (int64_t i = 0; i < size; ++i) {
          result->add_log_probs(-std::log(4.0f));
        }
      }
      response->set_model_version("models/demo/versions/1");
      response->set_model_digest("abc");
      return grpc::Status::OK;
    };
  }

  void AnswerEvaluation() {
    server_.on_evaluate = [this](const v1::EvaluateRequest& request,
                                 auto* writer) {
      evaluate_request_ = request;
      v1::EvaluateResponse message;
      message.mutable_progress()->set_scored_bytes(50);
      message.mutable_progress()->set_total_bytes(100);
      SetBits(100, message.mutable_progress()->mutable_accumulator());
      writer->Write(message);
      v1::EvaluationResult* result = message.mutable_result();
      result->mutable_range()->set_begin(request.range().begin());
      result->mutable_range()->set_end(request.range().begin() + 100);
      result->set_byte_count(100);
      SetBits(150, result->mutable_accumulator());
      result->set_model_digest("abc");
      result->set_numerics("fp32/fp32/avx2/1");
      result->set_protocol(v1::EVALUATION_PROTOCOL_FULL_STREAM);
      writer->Write(message);
      return grpc::Status::OK;
    };
  }

  void AnswerGeneration() {
    server_.on_generate = [this](const v1::GenerateStreamRequest& request,
                                 auto* writer) {
      generate_request_ = request;
      v1::GenerateStreamResponse message;
      for (const char* part : {"a\xff", "b"}) {
        message.set_data(part);
        message.clear_log_probs();
        for (size_t i = 0; i < message.data().size(); ++i) {
          message.add_log_probs(-std::log(2.0f));
        }
        writer->Write(message);
      }
      message.Clear();
      message.mutable_finish()->set_reason(v1::FINISH_REASON_MAX_BYTES);
      message.mutable_finish()->set_seed(7);
      writer->Write(message);
      return grpc::Status::OK;
    };
  }

  TempDir folder_;
  FakeServer server_;
  v1::ScoreRequest score_request_;
  v1::EvaluateRequest evaluate_request_;
  v1::GenerateStreamRequest generate_request_;
  std::string out_;
  std::string err_;
};

TEST_F(CliTest, ExitsWithSixtyFourOnWrongArguments) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"sing"},
      {"score", "--loud"},
      {"score", "/does/not/exist"},
      {"--timeout", "-1", "health"},
      {"--timeout", "soon", "health"},
      {"generate", "--max-bytes", "0"},
      {"generate", "--temperature", "warm"},
      {"generate", "--prompt", "a", "--prompt-file", "/dev/null"},
      {"evaluate"},
      {"evaluate", "text", "--range", "5"},
      {"evaluate", "text", "--range", "9:5"},
      {"evaluate", "text", "--range", "-1:5"},
      {"evaluate", "text", "--protocol", "guess"},
      {"evaluate", "text", "--shards", "0"},
      {"model"},
      {"session", "list"},
      {"bench"}};
  for (const auto& arguments : wrong) {
    EXPECT_EQ(RunAlone(arguments), kUsageExit)
        << testing::PrintToString(arguments);
    EXPECT_THAT(out_, IsEmpty());
    EXPECT_NE(err_, "");
  }
}

TEST_F(CliTest, PrintsVersionAndHelpOfEveryCommand) {
  EXPECT_EQ(RunAlone({"--version"}), 0);
  EXPECT_THAT(out_, HasSubstr("spanlm 0."));
  for (const char* command :
       {"score", "generate", "evaluate", "model", "health"}) {
    EXPECT_EQ(RunAlone({command, "--help"}), 0);
    EXPECT_THAT(out_, HasSubstr("Example")) << command;
  }
}

TEST_F(CliTest, ScoresStandardInput) {
  AnswerScores();

  EXPECT_EQ(Run({"score", "--model", "demo"}, "four"), 0);

  EXPECT_EQ(score_request_.model(), "demo");
  EXPECT_EQ(score_request_.items(0).continuation(), "four");
  EXPECT_EQ(out_,
            "2.000000 bits per byte (4 bytes, 8.000 bits, "
            "models/demo/versions/1)\n");
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(CliTest, ScoresAFileAfterAContextAsJson) {
  AnswerScores();
  const std::string context = folder_.Write("context", "be\nfore");
  const std::string text = folder_.Write("text", std::string("\0ab", 3));

  EXPECT_EQ(
      Run({"score", text, "--context-file", context, "--json", "--per-byte"}),
      0);

  EXPECT_EQ(score_request_.items(0).context(), "be\nfore");
  EXPECT_EQ(score_request_.items(0).continuation(), std::string("\0ab", 3));
  const Json json = OutJson();
  EXPECT_EQ(json["byte_count"], 3);
  EXPECT_EQ(json["bits"], 6.0);
  EXPECT_EQ(json["bits_per_byte"], 2.0);
  EXPECT_NEAR(json["log_prob_nats"].get<double>(), -6 * std::log(2.0), 1e-9);
  EXPECT_EQ(json["greedy"], true);
  EXPECT_EQ(json["model"], "models/demo/versions/1");
  EXPECT_EQ(json["digest"], "abc");
  ASSERT_THAT(json["byte_bits"], SizeIs(3));
  EXPECT_NEAR(json["byte_bits"][0].get<double>(), 2, 1e-6);
}

TEST_F(CliTest, StreamsATextAboveOneMebibyte) {
  AnswerScores();
  int64_t streamed = 0;
  server_.on_score_stream = [&](auto*, FakeServer::ScoreStreamPeer* stream) {
    v1::ScoreStreamRequest request;
    while (stream->Read(&request)) streamed += request.chunk().size();
    v1::ScoreStreamResponse answer;
    answer.set_position(streamed);
    SetBits(streamed, answer.mutable_accumulator());
    answer.mutable_summary()->set_model_digest("abc");
    stream->Write(answer);
    return grpc::Status::OK;
  };
  const int64_t limit = int64_t{1} << 20;

  EXPECT_EQ(Run({"score", "--json"}, std::string(limit, 'x')), 0);
  EXPECT_EQ(streamed, 0);
  EXPECT_EQ(Run({"score", "--json"}, std::string(limit + 1, 'x')), 0);
  EXPECT_EQ(streamed, limit + 1);
  EXPECT_EQ(OutJson()["bits_per_byte"], 1.0);
  EXPECT_EQ(OutJson()["digest"], "abc");
  streamed = 0;
  EXPECT_EQ(Run({"score", "--stream"}, "short"), 0);
  EXPECT_EQ(streamed, 5);
}

TEST_F(CliTest, RefusesAContextBeforeALongText) {
  const std::string context = folder_.Write("context", "before");

  EXPECT_EQ(Run({"score", "--context-file", context},
                std::string((size_t{1} << 20) + 1, 'x')),
            73);
  EXPECT_THAT(err_, HasSubstr("--context-file"));
}

TEST_F(CliTest, WritesGeneratedBytesAsTheyAre) {
  AnswerGeneration();

  EXPECT_EQ(Run({"generate", "--prompt", "The ", "--max-bytes", "3"}), 0);

  EXPECT_EQ(out_,
            "a\xff"
            "b");
  EXPECT_THAT(err_, AllOf(HasSubstr("3 bytes, max_bytes, seed 7")));
  EXPECT_EQ(generate_request_.prompt(), "The ");
  EXPECT_EQ(generate_request_.stop().max_bytes(), 3);
  // What is not said is the server's to choose.
  EXPECT_FALSE(generate_request_.sampling().has_temperature());
  EXPECT_FALSE(generate_request_.sampling().has_seed());
  EXPECT_FALSE(generate_request_.has_session());
}

TEST_F(CliTest, PassesEverySamplingOptionOn) {
  AnswerGeneration();

  EXPECT_EQ(
      Run({"generate", "--temperature", "0", "--top-k", "5", "--top-p", "0.5",
           "--min-p", "0.25", "--repetition-penalty", "1.5", "--seed", "-3",
           "--stop", "x", "--stop", "yz", "--session", "sessions/s"}),
      0);

  const v1::SamplingOptions& sampling = generate_request_.sampling();
  EXPECT_TRUE(sampling.has_temperature());
  EXPECT_EQ(sampling.temperature(), 0);
  EXPECT_EQ(sampling.top_k(), 5);
  EXPECT_EQ(sampling.top_p(), 0.5f);
  EXPECT_EQ(sampling.min_p(), 0.25f);
  EXPECT_EQ(sampling.repetition_penalty(), 1.5f);
  EXPECT_EQ(sampling.seed(), -3);
  EXPECT_THAT(generate_request_.stop().sequences(),
              testing::ElementsAre("x", "yz"));
  EXPECT_EQ(generate_request_.session(), "sessions/s");
}

TEST_F(CliTest, GeneratesAsJson) {
  AnswerGeneration();
  const std::string prompt = folder_.Write("prompt", "The\n");

  EXPECT_EQ(Run({"--json", "generate", "--prompt-file", prompt, "--log-probs"}),
            0);

  EXPECT_EQ(generate_request_.prompt(), "The\n");
  EXPECT_TRUE(generate_request_.output().log_probs());
  const Json json = OutJson();
  EXPECT_THAT(Keys(json),
              IsSupersetOf({"time_to_first_byte_ms", "bytes_per_second"}));
  EXPECT_EQ(json["data_base64"], absl::Base64Escape("a\xff"
                                                    "b"));
  EXPECT_EQ(json["byte_count"], 3);
  EXPECT_EQ(json["finish"], "max_bytes");
  EXPECT_EQ(json["seed"], 7);
  ASSERT_THAT(json["byte_bits"], SizeIs(3));
  EXPECT_NEAR(json["byte_bits"][2].get<double>(), 1, 1e-6);
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(CliTest, EvaluatesAsJson) {
  AnswerEvaluation();

  EXPECT_EQ(Run({"evaluate", "text", "--range", "300:400", "--json"}), 0);

  EXPECT_EQ(evaluate_request_.dataset(), "text");
  EXPECT_EQ(evaluate_request_.range().begin(), 300);
  EXPECT_EQ(evaluate_request_.range().end(), 400);
  const Json json = OutJson();
  EXPECT_THAT(Keys(json), IsSupersetOf({"seconds", "bytes_per_second"}));
  EXPECT_EQ(json["dataset"], "text");
  EXPECT_EQ(json["begin"], 300);
  EXPECT_EQ(json["end"], 400);
  EXPECT_EQ(json["byte_count"], 100);
  EXPECT_EQ(json["total_bits"], 150.0);
  EXPECT_EQ(json["bits_per_byte"], 1.5);
  EXPECT_EQ(json["accumulator"], "644245094400");  // 150 · 2³²
  EXPECT_EQ(json["protocol"], "full-stream");
  EXPECT_EQ(json["digest"], "abc");
  EXPECT_EQ(json["numerics"], "fp32/fp32/avx2/1");
}

TEST_F(CliTest, EvaluatesForAPersonAndShowsProgressWhenAsked) {
  AnswerEvaluation();

  EXPECT_EQ(Run({"evaluate", "text", "--progress"}), 0);

  EXPECT_FALSE(evaluate_request_.range().has_end());
  EXPECT_THAT(out_, EndsWith("1.500000 bits per byte (100 bytes, "
                             "150.000 bits)\n"));
  EXPECT_THAT(err_, HasSubstr(" 50.0 %"));

  EXPECT_EQ(Run({"evaluate", "text"}), 0);
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(CliTest, PassesTheProtocolOn) {
  AnswerEvaluation();

  EXPECT_EQ(Run({"evaluate", "text", "--protocol", "kimiyoung"}), 0);

  EXPECT_EQ(evaluate_request_.protocol(), v1::EVALUATION_PROTOCOL_REFERENCE_K);
}

TEST_F(CliTest, UsesTheAddressesForShards) {
  AnswerEvaluation();

  EXPECT_EQ(RunAlone({"evaluate", "text", "--addresses", server_.address()}),
            0);
}

TEST_F(CliTest, ReportsCodeReasonAndMessage) {
  server_.on_evaluate = [](const auto&, auto*) {
    return ServerError(grpc::NOT_FOUND, "DATASET", "no data set text");
  };

  EXPECT_EQ(Run({"evaluate", "text", "--json"}), 75);

  EXPECT_EQ(err_, "spanlm: NOT_FOUND: DATASET: no data set text\n");
  EXPECT_THAT(out_, IsEmpty());
}

TEST_F(CliTest, ListsAndDescribesModels) {
  v1::Model model;
  model.set_name("models/demo");
  model.set_state(v1::Model::STATE_READY);
  model.set_digest("abcdef");
  v1::LayerSpans* layer = model.add_layers();
  layer->add_spans(12.5);
  layer->add_reaches(45);
  layer->set_window_bytes(64);
  server_.on_list_models = [&](const auto&) {
    v1::ListModelsResponse page;
    *page.add_models() = model;
    return page;
  };
  server_.on_get_model = [&](const std::string& name, v1::Model* answer) {
    if (name != "demo") return ServerError(grpc::NOT_FOUND, "MODEL", name);
    *answer = model;
    return grpc::Status::OK;
  };

  EXPECT_EQ(Run({"model", "list"}), 0);
  EXPECT_THAT(out_, HasSubstr("models/demo"));
  EXPECT_EQ(Run({"model", "list", "--json"}), 0);
  EXPECT_EQ(OutJson()["models"][0]["name"], "models/demo");
  EXPECT_EQ(Run({"model", "get", "demo"}), 0);
  EXPECT_THAT(out_, HasSubstr("spans 12.5"));
  EXPECT_EQ(Run({"model", "get", "demo", "--json"}), 0);
  EXPECT_EQ(OutJson()["layers"][0]["spans"][0], 12.5);
  EXPECT_EQ(OutJson()["layers"][0]["reaches"][0], 45);
  EXPECT_EQ(OutJson()["state"], "ready");
  EXPECT_EQ(Run({"model", "get", "none"}), 75);
}

TEST_F(CliTest, SaysByItsExitCodeWhetherTheServerServes) {
  using grpc::health::v1::HealthCheckResponse;
  server_.on_check = [](const std::string& service,
                        HealthCheckResponse* response) {
    if (service == "other") return grpc::Status(grpc::NOT_FOUND, "unknown");
    response->set_status(service == "live" ? HealthCheckResponse::SERVING
                                           : HealthCheckResponse::NOT_SERVING);
    return grpc::Status::OK;
  };

  EXPECT_EQ(Run({"health", "--service", "live"}), 0);
  EXPECT_EQ(out_, "SERVING\n");
  EXPECT_EQ(Run({"health", "--service", "ready", "--json"}), 84);
  EXPECT_EQ(OutJson()["status"], "NOT_SERVING");
  EXPECT_THAT(err_, HasSubstr("ready is NOT_SERVING"));
  EXPECT_EQ(Run({"health", "--service", "other"}), 75);
}

TEST_F(CliTest, TakesFlagsBeforeEnvironmentBeforeFile) {
  AnswerScores();
  const std::string config = folder_.Write(
      "spanlm.toml", "address = \"" + server_.address() +
                         "\"\nmodel = \"from-file\"\n[score]\nstream=false\n");

  EXPECT_EQ(RunAlone({"--config", config, "score"}, "x"), 0);
  EXPECT_EQ(score_request_.model(), "from-file");

  setenv("SPANLM_MODEL", "from-environment", 1);
  EXPECT_EQ(RunAlone({"--config", config, "score"}, "x"), 0);
  EXPECT_EQ(score_request_.model(), "from-environment");

  EXPECT_EQ(
      RunAlone({"--config", config, "--model", "from-flag", "score"}, "x"), 0);
  EXPECT_EQ(score_request_.model(), "from-flag");
  unsetenv("SPANLM_MODEL");

  setenv("SPANLM_PER_BYTE", "true", 1);
  EXPECT_EQ(RunAlone({"--config", config, "score"}, "x"), 0);
  EXPECT_TRUE(score_request_.output().per_byte());
  unsetenv("SPANLM_PER_BYTE");
}

TEST_F(CliTest, RefusesAConfigFileWithAnUnknownOption) {
  const std::string config = folder_.Write("spanlm.toml", "adress = \"x\"\n");

  EXPECT_EQ(RunAlone({"--config", config, "health"}), kUsageExit);
}

}  // namespace
}  // namespace spanlm
