// SPDX-License-Identifier: Apache-2.0
// The client goes away: every kind of call, at every stage.
#include <atomic>
#include <string>
#include <thread>
#include <tuple>

#include "tests/server/rpc/served_fixture.h"

namespace spanlm {
namespace {

enum class Call { kScore, kGenerate, kGenerateStream, kEvaluate, kScoreStream };
enum class Stage { kQueued, kFirstStep, kMiddle, kEnd };

class CancelTest : public ServedTest,
                   public testing::WithParamInterface<std::tuple<Call, Stage>> {
 protected:
  // Runs the call to its end, which has to be that of a cancelled one or, if
  // it was quicker than the cancellation, an OK.
  void RunCall(Call call, grpc::ClientContext* context) {
    grpc::Status status;
    switch (call) {
      case Call::kScore: {
        v1::ScoreResponse response;
        status = scoring()->Score(context, ScoreOf(SomeText(5000)), &response);
        break;
      }
      case Call::kGenerate: {
        v1::GenerateResponse response;
        status =
            generation()->Generate(context, GenerateOf("abc", 50), &response);
        break;
      }
      case Call::kGenerateStream: {
        v1::GenerateStreamRequest request;
        request.set_prompt("abc");
        request.mutable_stop()->set_max_bytes(50);
        const auto reader = generation()->GenerateStream(context, request);
        v1::GenerateStreamResponse message;
        while (reader->Read(&message)) {
        }
        status = reader->Finish();
        break;
      }
      case Call::kEvaluate: {
        v1::EvaluateRequest request;
        request.set_data(SomeText(5000));
        const auto reader = evaluation()->Evaluate(context, request);
        v1::EvaluateResponse message;
        while (reader->Read(&message)) {
        }
        status = reader->Finish();
        break;
      }
      case Call::kScoreStream: {
        const auto stream = scoring()->ScoreStream(context);
        v1::ScoreStreamRequest request;
        request.mutable_open();
        stream->Write(request);
        request.set_chunk(SomeText(5000));
        stream->Write(request);
        stream->WritesDone();
        v1::ScoreStreamResponse message;
        while (stream->Read(&message)) {
        }
        status = stream->Finish();
        break;
      }
    }
    EXPECT_TRUE(status.ok() ||
                status.error_code() == grpc::StatusCode::CANCELLED)
        << status.error_message();
  }
};

TEST_P(CancelTest, FreesEverything) {
  const auto [call, stage] = GetParam();
  engine_options_.slots = 1;
  Start();
  // Keeps the only slot, so that the call waits.
  grpc::ClientContext other_context;
  v1::ScoreResponse other_response;
  std::thread other;
  engine_->Hold();
  if (stage == Stage::kQueued) {
    other = std::thread([&] {
      scoring()->Score(&other_context, ScoreOf("other"), &other_response);
    });
    engine_->WaitUntilHeld();
  }

  grpc::ClientContext context;
  std::thread caller([&, call = call] { RunCall(call, &context); });
  if (stage == Stage::kQueued) {
    ASSERT_TRUE(Eventually(
        [this] { return MetricSum("spanlm_requests_waiting") == 1; }));
  } else {
    engine_->WaitUntilHeld();
    if (stage == Stage::kMiddle) {
      engine_->Release(2);
      engine_->WaitUntilHeld();
    } else if (stage == Stage::kEnd) {
      engine_->ReleaseAll();
    }
  }
  context.TryCancel();
  caller.join();
  engine_->ReleaseAll();
  if (other.joinable()) other.join();

  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
  v1::ScoreResponse response;
  EXPECT_TRUE(Score(ScoreOf("next"), &response).ok());
}

std::string NameOf(
    const testing::TestParamInfo<std::tuple<Call, Stage>>& info) {
  const char* const calls[] = {"Score", "Generate", "GenerateStream",
                               "Evaluate", "ScoreStream"};
  const char* const stages[] = {"Queued", "FirstStep", "Middle", "End"};
  return std::string(calls[static_cast<int>(std::get<0>(info.param))]) +
         stages[static_cast<int>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(
    Matrix, CancelTest,
    testing::Combine(testing::Values(Call::kScore, Call::kGenerate,
                                     Call::kGenerateStream, Call::kEvaluate,
                                     Call::kScoreStream),
                     testing::Values(Stage::kQueued, Stage::kFirstStep,
                                     Stage::kMiddle, Stage::kEnd)),
    NameOf);

}  // namespace
}  // namespace spanlm
