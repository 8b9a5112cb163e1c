// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/load_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

namespace spanlm {
namespace {

// The fields that Generate and GenerateStream have in common.
template <typename Request>
Request GenerationOf(const Question& question) {
  Request request;
  request.set_prompt(question.text);
  v1::SamplingOptions* sampling = request.mutable_sampling();
  sampling->set_seed(question.seed);
  sampling->set_temperature(0.7F +
                            0.1F * static_cast<float>(question.seed % 5));
  if (question.seed % 2 == 0) sampling->set_top_k(40);
  if (question.seed % 3 == 0) sampling->set_top_p(0.9F);
  if (question.seed % 4 == 0) sampling->set_repetition_penalty(1.2F);
  request.mutable_stop()->set_max_bytes(question.max_bytes);
  request.mutable_stop()->add_sequences("no such text will come");
  request.mutable_output()->set_log_probs(true);
  request.mutable_output()->set_sampling_log_probs(question.seed % 2 == 1);
  request.mutable_output()->set_top_count(3);
  return request;
}

template <typename Response>
std::string Timeless(Response* response) {
  response->mutable_finish()->clear_timing();
  return response->SerializeAsString();
}

// How the messages of a ScoreStream fall into answers depends on the clock;
// what they say together does not.
void Join(const v1::ScoreStreamResponse& message,
          v1::ScoreStreamResponse* joined) {
  joined->MergeFrom(message);
  *joined->mutable_accumulator() = message.accumulator();
  joined->set_greedy(message.greedy());
  joined->clear_delta_bits();
}

}  // namespace

LoadClient::LoadClient(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
      address, grpc::InsecureChannelCredentials(), arguments);
  scoring_ = v1::ScoringService::NewStub(channel);
  generation_ = v1::GenerationService::NewStub(channel);
  evaluation_ = v1::EvaluationService::NewStub(channel);
}

grpc::Status LoadClient::Ask(const Question& question,
                             grpc::ClientContext* context,
                             const std::function<void()>& after_first,
                             std::string* answer) {
  switch (question.kind) {
    case QuestionKind::kScore:
      return Score(question, context, answer);
    case QuestionKind::kScoreStream:
      return ScoreStream(question, context, after_first, answer);
    case QuestionKind::kGenerate:
      return Generate(question, context, answer);
    case QuestionKind::kGenerateStream:
      return GenerateStream(question, context, after_first, answer);
    case QuestionKind::kEvaluate:
      return Evaluate(question, context, answer);
  }
  return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "kind");
}

grpc::Status LoadClient::Score(const Question& question,
                               grpc::ClientContext* context,
                               std::string* answer) {
  v1::ScoreRequest request;
  const std::string& text = question.text;
  v1::ScoreItem* item = request.add_items();
  item->set_context(text.substr(0, text.size() / 3));
  item->set_continuation(text.substr(text.size() / 3));
  for (uint32_t i = 0; i < question.seed % 3; ++i) {
    request.add_items()->set_continuation(text.substr(text.size() / 2 + i));
  }
  request.mutable_output()->set_per_byte(true);
  request.mutable_output()->set_is_greedy(true);
  request.mutable_output()->set_top_count(2);
  v1::ScoreResponse response;
  grpc::Status status = scoring_->Score(context, request, &response);
  response.clear_timing();
  *answer = response.SerializeAsString();
  return status;
}

grpc::Status LoadClient::ScoreStream(const Question& question,
                                     grpc::ClientContext* context,
                                     const std::function<void()>& after_first,
                                     std::string* answer) {
  const auto stream = scoring_->ScoreStream(context);
  v1::ScoreStreamRequest request;
  v1::ScoreStreamRequest::Open* open = request.mutable_open();
  open->mutable_output()->set_per_byte(true);
  open->set_unit(v1::ScoreStreamRequest::UNIT_LINE);
  if (question.seed % 2 == 1) {
    open->set_unit(v1::ScoreStreamRequest::UNIT_BLOCK);
    open->set_block_bytes(50);
  }
  stream->Write(request);
  v1::ScoreStreamResponse message, joined;
  const size_t half = question.text.size() / 2;
  request.set_chunk(question.text.substr(0, half));
  stream->Write(request);
  if (after_first && stream->Read(&message)) {
    Join(message, &joined);
    after_first();
  }
  request.set_chunk(question.text.substr(half));
  stream->Write(request);
  stream->WritesDone();
  while (stream->Read(&message)) Join(message, &joined);
  joined.mutable_summary()->clear_timing();
  *answer = joined.SerializeAsString();
  return stream->Finish();
}

grpc::Status LoadClient::Generate(const Question& question,
                                  grpc::ClientContext* context,
                                  std::string* answer) {
  v1::GenerateResponse response;
  grpc::Status status = generation_->Generate(
      context, GenerationOf<v1::GenerateRequest>(question), &response);
  *answer = Timeless(&response);
  return status;
}

grpc::Status LoadClient::GenerateStream(
    const Question& question, grpc::ClientContext* context,
    const std::function<void()>& after_first, std::string* answer) {
  const auto request = GenerationOf<v1::GenerateStreamRequest>(question);
  const auto reader = generation_->GenerateStream(context, request);
  v1::GenerateStreamResponse message, joined;
  std::string data;
  while (reader->Read(&message)) {
    if (after_first && data.empty()) after_first();
    data += message.data();
    joined.MergeFrom(message);
  }
  joined.set_data(data);
  *answer = Timeless(&joined);
  return reader->Finish();
}

grpc::Status LoadClient::Evaluate(const Question& question,
                                  grpc::ClientContext* context,
                                  std::string* answer) {
  v1::EvaluateRequest request;
  request.set_data(question.text);
  // Odd ones are a shard, with its warm-up before it.
  if (question.seed % 2 == 1) {
    request.mutable_range()->set_begin(
        static_cast<int64_t>(question.text.size() / 2));
  }
  request.set_checkpoint_spans(question.seed % 4 == 0);
  const auto reader = evaluation_->Evaluate(context, request);
  v1::EvaluateResponse message;
  v1::EvaluationResult result;
  while (reader->Read(&message)) {
    if (message.has_result()) result = message.result();
  }
  result.clear_timing();
  *answer = result.SerializeAsString();
  return reader->Finish();
}

}  // namespace spanlm
