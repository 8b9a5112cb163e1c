// SPDX-License-Identifier: Apache-2.0
// Questions of every kind to a server, and their answers in a form that can be
// compared: every bit of a number, and nothing that depends on the clock.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "spanlm/v1/evaluation.grpc.pb.h"
#include "spanlm/v1/generation.grpc.pb.h"
#include "spanlm/v1/scoring.grpc.pb.h"

namespace spanlm {

enum class QuestionKind {
  kScore,
  kScoreStream,
  kGenerate,
  kGenerateStream,
  kEvaluate
};
inline constexpr int kQuestionKindCount = 5;

// What is asked; `seed` decides about all options.
struct Question {
  QuestionKind kind = QuestionKind::kScore;
  std::string text;       // not empty; the engine reads its first byte first
  int64_t max_bytes = 0;  // to generate
  uint32_t seed = 0;
};

// A client with a connection of its own. One thread at a time.
class LoadClient {
 public:
  explicit LoadClient(const std::string& address);

  // Asks and waits for the end. `after_first`, if there is one, is called when
  // a stream's first message is there; a ScoreStream then has half its text
  // still to send.
  grpc::Status Ask(const Question& question, grpc::ClientContext* context,
                   const std::function<void()>& after_first,
                   std::string* answer);

 private:
  grpc::Status Score(const Question& question, grpc::ClientContext* context,
                     std::string* answer);
  grpc::Status ScoreStream(const Question& question,
                           grpc::ClientContext* context,
                           const std::function<void()>& after_first,
                           std::string* answer);
  grpc::Status Generate(const Question& question, grpc::ClientContext* context,
                        std::string* answer);
  grpc::Status GenerateStream(const Question& question,
                              grpc::ClientContext* context,
                              const std::function<void()>& after_first,
                              std::string* answer);
  grpc::Status Evaluate(const Question& question, grpc::ClientContext* context,
                        std::string* answer);

  std::unique_ptr<v1::ScoringService::Stub> scoring_;
  std::unique_ptr<v1::GenerationService::Stub> generation_;
  std::unique_ptr<v1::EvaluationService::Stub> evaluation_;
};

}  // namespace spanlm
