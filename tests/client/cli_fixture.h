// SPDX-License-Identifier: Apache-2.0
// The program spanlm, run against a fake server.
#pragma once

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "client/cli.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/fake_server.h"
#include "tests/support/temp_dir.h"

namespace spanlm {

inline void SetBits(double bits, v1::Accumulator* accumulator) {
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
  nlohmann::json OutJson() {
    EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1) << out_;
    return nlohmann::json::parse(out_, nullptr, /*allow_exceptions=*/false);
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

}  // namespace spanlm
