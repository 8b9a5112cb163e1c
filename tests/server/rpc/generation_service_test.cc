// SPDX-License-Identifier: Apache-2.0
#include "tests/server/rpc/served_fixture.h"

namespace spanlm {
namespace {

using grpc::StatusCode;

v1::GenerateStreamRequest StreamOf(const v1::GenerateRequest& unary) {
  v1::GenerateStreamRequest request;
  request.set_prompt(unary.prompt());
  *request.mutable_stop() = unary.stop();
  *request.mutable_sampling() = unary.sampling();
  *request.mutable_output() = unary.output();
  return request;
}

class GenerationServiceTest : public ServedTest {};

TEST_F(GenerationServiceTest, AStreamGeneratesWhatAUnaryCallDoes) {
  Start();
  v1::GenerateRequest request = GenerateOf("prompt", 300);
  request.mutable_output()->set_log_probs(true);
  request.mutable_output()->set_sampling_log_probs(true);
  request.mutable_output()->set_top_count(2);

  v1::GenerateResponse whole;
  ASSERT_TRUE(Generate(request, &whole).ok());
  v1::GenerateStreamResponse joined;
  ASSERT_TRUE(GenerateStream(StreamOf(request), &joined).ok());

  EXPECT_EQ(whole.data().size(), 300U);
  EXPECT_EQ(joined.data(), whole.data());
  EXPECT_EQ(joined.position(), 306);
  ASSERT_EQ(joined.log_probs_size(), 300);
  EXPECT_EQ(joined.sampling_log_probs_size(), 300);
  EXPECT_EQ(joined.tops_size(), 300);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(whole.log_probs(i),
              FakeLogProb(*engine_, "prompt" + whole.data(), 6 + i));
    EXPECT_EQ(joined.log_probs(i), whole.log_probs(i));
  }
  EXPECT_EQ(joined.start().seed(), 7);
  EXPECT_EQ(joined.start().model_version(), "models/fake/versions/1");
  EXPECT_EQ(joined.finish().reason(), v1::FINISH_REASON_MAX_BYTES);
  EXPECT_EQ(joined.finish().usage().read_bytes(), 6);
  EXPECT_EQ(joined.finish().usage().generated_bytes(), 300);
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
  EXPECT_EQ(Metric(R"(spanlm_finish_total{model="fake",reason="max_bytes"})"),
            2);
}

TEST_F(GenerationServiceTest, StartComesFirstAndFinishLast) {
  Start();
  grpc::ClientContext context;
  const auto reader =
      generation()->GenerateStream(&context, StreamOf(GenerateOf("", 50)));

  std::vector<v1::GenerateStreamResponse> messages;
  v1::GenerateStreamResponse message;
  while (reader->Read(&message)) messages.push_back(message);
  ASSERT_TRUE(reader->Finish().ok());

  for (size_t i = 0; i < messages.size(); ++i) {
    EXPECT_EQ(messages[i].has_start(), i == 0);
    EXPECT_EQ(messages[i].has_finish(), i + 1 == messages.size());
  }
}

TEST_F(GenerationServiceTest, DrawsAndReturnsASeedWhenNoneIsGiven) {
  Start();
  v1::GenerateRequest request = GenerateOf("a", 100);
  request.mutable_sampling()->clear_seed();
  v1::GenerateResponse first;
  ASSERT_TRUE(Generate(request, &first).ok());

  request.mutable_sampling()->set_seed(first.start().seed());
  v1::GenerateResponse again;
  ASSERT_TRUE(Generate(request, &again).ok());

  EXPECT_EQ(again.data(), first.data());
}

TEST_F(GenerationServiceTest, CountsAByteThatNeededNoStep) {
  Start();
  v1::GenerateResponse response;
  ASSERT_TRUE(Generate(GenerateOf("", 1), &response).ok());

  EXPECT_EQ(response.data().size(), 1U);
  EXPECT_EQ(
      Metric(R"(spanlm_generated_bytes_total{kind="generate",model="fake"})"),
      1);
  EXPECT_EQ(Metric(R"(spanlm_time_to_first_byte_seconds_count{model="fake"})"),
            1);
}

TEST_F(GenerationServiceTest, StopsAtASequence) {
  Start();
  v1::GenerateResponse free;
  ASSERT_TRUE(Generate(GenerateOf("a", 100), &free).ok());
  v1::GenerateRequest request = GenerateOf("a", 100);
  request.mutable_stop()->add_sequences(free.data().substr(50, 3));

  v1::GenerateStreamResponse stopped;
  ASSERT_TRUE(GenerateStream(StreamOf(request), &stopped).ok());

  EXPECT_EQ(stopped.finish().reason(), v1::FINISH_REASON_STOP_SEQUENCE);
  EXPECT_EQ(stopped.finish().stop_sequence(), free.data().substr(50, 3));
  EXPECT_EQ(free.data().find(stopped.data()), 0U);
  EXPECT_EQ(stopped.data().find(free.data().substr(50, 3)), std::string::npos);
}

TEST_F(GenerationServiceTest, GathersBytesIntoChunks) {
  Start();
  v1::GenerateStreamRequest request = StreamOf(GenerateOf("a", 95));
  request.mutable_flow()->set_min_chunk_bytes(30);
  grpc::ClientContext context;
  const auto reader = generation()->GenerateStream(&context, request);

  std::vector<size_t> sizes;
  v1::GenerateStreamResponse message;
  while (reader->Read(&message)) sizes.push_back(message.data().size());
  ASSERT_TRUE(reader->Finish().ok());

  ASSERT_FALSE(sizes.empty());
  for (size_t i = 0; i + 1 < sizes.size(); ++i) EXPECT_GE(sizes[i], 30U);
}

TEST_F(GenerationServiceTest, APromptWithoutSymbolsIsRefused) {
  engine_options_.symbols.pop_back();
  Start();

  v1::GenerateResponse response;
  EXPECT_THAT(Generate(GenerateOf("a\xFF", 1), &response),
              FailsField("prompt", "FIELD_INVALID"));
  v1::GenerateStreamResponse joined;
  EXPECT_THAT(GenerateStream(StreamOf(GenerateOf("a\xFF", 1)), &joined),
              FailsField("prompt", "FIELD_INVALID"));
}

TEST_F(GenerationServiceTest, AReaderThatDoesNotReadHoldsUpOnlyItself) {
  options_.limits.stream_buffer_bytes = 4096;
  Start();
  v1::GenerateRequest unary = GenerateOf("a", 1 << 20);
  unary.mutable_output()->set_log_probs(true);
  unary.mutable_output()->set_top_count(256);
  grpc::ClientContext context;
  const auto reader = generation()->GenerateStream(&context, StreamOf(unary));
  v1::GenerateStreamResponse message;
  ASSERT_TRUE(reader->Read(&message));

  const std::string generated =
      R"(spanlm_generated_bytes_total{kind="generate",model="fake"})";
  const auto stands_still = [&] {
    const double before = Metric(generated);
    for (int i = 0; i < 20; ++i) {
      v1::ScoreResponse response;
      if (!Score(ScoreOf("x"), &response).ok()) return false;
    }
    return Metric(generated) == before;
  };
  EXPECT_TRUE(Eventually(stands_still));
  EXPECT_LT(Metric(generated), 200000);

  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

}  // namespace
}  // namespace spanlm
