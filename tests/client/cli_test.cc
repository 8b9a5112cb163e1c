// SPDX-License-Identifier: Apache-2.0
#include "client/cli.h"

#include <stdlib.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"

namespace spanlm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

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

TEST_F(CliTest, NamesTheCommandThatItDoesNotHave) {
  EXPECT_EQ(RunAlone({"scroe", "a.txt"}), kUsageExit);
  EXPECT_THAT(err_, HasSubstr("no such command: scroe"));
  EXPECT_EQ(RunAlone({}), kUsageExit);
  EXPECT_THAT(err_, HasSubstr("subcommand is required"));
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

TEST_F(CliTest, ReportsCodeReasonAndMessage) {
  server_.on_evaluate = [](const auto&, auto*) {
    return ServerError(grpc::NOT_FOUND, "DATASET", "no data set text");
  };

  EXPECT_EQ(Run({"evaluate", "text", "--json"}), 75);

  EXPECT_EQ(err_, "spanlm: NOT_FOUND: DATASET: no data set text\n");
  EXPECT_THAT(out_, IsEmpty());
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
