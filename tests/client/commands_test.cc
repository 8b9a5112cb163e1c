// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli_fixture.h"

namespace spanlm {
namespace {

using Json = nlohmann::json;
using CommandsTest = CliTest;
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

TEST_F(CommandsTest, ScoresStandardInput) {
  AnswerScores();

  EXPECT_EQ(Run({"score", "--model", "demo"}, "four"), 0);

  EXPECT_EQ(score_request_.model(), "demo");
  EXPECT_EQ(score_request_.items(0).continuation(), "four");
  EXPECT_EQ(out_,
            "2.000000 bits per byte (4 bytes, 8.000 bits, "
            "models/demo/versions/1)\n");
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(CommandsTest, ScoresAFileAfterAContextAsJson) {
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

// A socket's name is there and yet cannot be opened, even by root.
TEST_F(CommandsTest, AFileThatCannotBeReadIsAnErrorThatNamesIt) {
  AnswerScores();
  AnswerGeneration();
  const std::string text = folder_.Write("text", "abc");
  const std::string path = folder_.File("closed");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
      0);

  const std::vector<std::vector<std::string>> commands = {
      {"score", path},
      {"score", path, "--stream"},
      {"score", text, "--context-file", path},
      {"generate", "--prompt-file", path}};
  for (const std::vector<std::string>& command : commands) {
    EXPECT_EQ(Run(command), 84) << command.back();
    EXPECT_THAT(err_, HasSubstr(path));
    EXPECT_THAT(out_, IsEmpty());
  }
  // Opens, but its first page is nobody's memory.
  EXPECT_EQ(Run({"score", text, "--context-file", "/proc/self/mem"}), 84);
  EXPECT_THAT(err_, HasSubstr("/proc/self/mem"));
  close(fd);
}

TEST_F(CommandsTest, AContextForATextThatMustBeStreamedIsWrongUsage) {
  AnswerScores();
  const std::string context = folder_.Write("context", "before");
  const std::string text =
      folder_.Write("text", std::string((1 << 18) + 1, 'a'));

  EXPECT_EQ(Run({"score", text, "--context-file", context}), 0);
  EXPECT_EQ(Run({"score", text, "--context-file", context, "--per-byte"}), 64);
  EXPECT_THAT(err_, HasSubstr("--context-file"));
}

TEST_F(CommandsTest, StreamsATextAboveOneMebibyte) {
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

TEST_F(CommandsTest, RefusesAContextBeforeALongText) {
  const std::string context = folder_.Write("context", "before");

  EXPECT_EQ(Run({"score", "--context-file", context},
                std::string((size_t{1} << 20) + 1, 'x')),
            73);
  EXPECT_THAT(err_, HasSubstr("--context-file"));
}

TEST_F(CommandsTest, WritesGeneratedBytesAsTheyAre) {
  AnswerGeneration();

  EXPECT_EQ(Run({"generate", "--prompt", "The ", "--max-bytes", "3"}), 0);

  EXPECT_EQ(out_,
            "a\xff"
            "b");
  EXPECT_THAT(err_, HasSubstr("3 bytes, max_bytes, seed 7"));
  EXPECT_EQ(generate_request_.prompt(), "The ");
  EXPECT_EQ(generate_request_.stop().max_bytes(), 3);
  // What is not said is the server's to choose.
  EXPECT_FALSE(generate_request_.sampling().has_temperature());
  EXPECT_FALSE(generate_request_.sampling().has_seed());
  EXPECT_FALSE(generate_request_.has_session());
}

TEST_F(CommandsTest, PassesEverySamplingOptionOn) {
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

TEST_F(CommandsTest, GeneratesAsJson) {
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

TEST_F(CommandsTest, EvaluatesAsJson) {
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

TEST_F(CommandsTest, EvaluatesForAPersonAndShowsProgressWhenAsked) {
  AnswerEvaluation();

  EXPECT_EQ(Run({"evaluate", "text", "--progress"}), 0);

  EXPECT_FALSE(evaluate_request_.range().has_end());
  EXPECT_THAT(out_, EndsWith("1.500000 bits per byte (100 bytes, "
                             "150.000 bits)\n"));
  EXPECT_THAT(err_, HasSubstr(" 50.0 %"));

  EXPECT_EQ(Run({"evaluate", "text"}), 0);
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(CommandsTest, PassesTheProtocolOn) {
  AnswerEvaluation();

  EXPECT_EQ(Run({"evaluate", "text", "--protocol", "kimiyoung"}), 0);

  EXPECT_EQ(evaluate_request_.protocol(), v1::EVALUATION_PROTOCOL_REFERENCE_K);
}

TEST_F(CommandsTest, UsesTheAddressesForShards) {
  AnswerEvaluation();

  EXPECT_EQ(RunAlone({"evaluate", "text", "--addresses", server_.address()}),
            0);
}

TEST_F(CommandsTest, ListsAndDescribesModels) {
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

}  // namespace
}  // namespace spanlm
