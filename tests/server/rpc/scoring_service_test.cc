// SPDX-License-Identifier: Apache-2.0
#include "base/bits_total.h"
#include "tests/server/rpc/served_fixture.h"

namespace spanlm {
namespace {

using grpc::StatusCode;

BitsTotal TotalOf(const v1::Accumulator& accumulator) {
  return BitsTotal::FromHighLow(accumulator.high(), accumulator.low());
}

class ScoringServiceTest : public ServedTest {
 protected:
  using Stream =
      grpc::ClientReaderWriter<v1::ScoreStreamRequest, v1::ScoreStreamResponse>;

  static bool Send(Stream* stream, const std::string& chunk) {
    v1::ScoreStreamRequest request;
    request.set_chunk(chunk);
    return stream->Write(request);
  }

  // Sends `parts` and reads all answers.
  grpc::Status RunStream(const std::vector<v1::ScoreStreamRequest>& parts,
                         std::vector<v1::ScoreStreamResponse>* answers) {
    grpc::ClientContext context;
    const auto stream = scoring()->ScoreStream(&context);
    for (const v1::ScoreStreamRequest& part : parts) {
      if (!stream->Write(part)) break;
    }
    stream->WritesDone();
    v1::ScoreStreamResponse answer;
    while (stream->Read(&answer)) answers->push_back(answer);
    return stream->Finish();
  }
  grpc::Status StreamStatus(const std::vector<v1::ScoreStreamRequest>& parts) {
    std::vector<v1::ScoreStreamResponse> answers;
    return RunStream(parts, &answers);
  }

  static v1::ScoreStreamRequest Open(
      v1::ScoreStreamRequest::Unit unit =
          v1::ScoreStreamRequest::UNIT_UNSPECIFIED,
      int64_t block_bytes = 0) {
    v1::ScoreStreamRequest request;
    request.mutable_open()->set_unit(unit);
    request.mutable_open()->set_block_bytes(block_bytes);
    return request;
  }
  static v1::ScoreStreamRequest Chunk(const std::string& text) {
    v1::ScoreStreamRequest request;
    request.set_chunk(text);
    return request;
  }
  static v1::ScoreStreamRequest Finish() {
    v1::ScoreStreamRequest request;
    request.mutable_finish();
    return request;
  }
};

TEST_F(ScoringServiceTest, ScoresEachItemAfterItsOwnContext) {
  Start();
  v1::ScoreRequest request = ScoreOf("first");
  request.add_items()->set_context("some context, ");
  request.mutable_items(1)->set_continuation("then more");
  request.add_items();

  v1::ScoreResponse response;
  ASSERT_TRUE(Score(request, &response).ok());

  ASSERT_EQ(response.results_size(), 3);
  EXPECT_EQ(TotalOf(response.results(0).accumulator()),
            FakeScore(*engine_, "first", 0));
  EXPECT_EQ(TotalOf(response.results(1).accumulator()),
            FakeScore(*engine_, "some context, then more", 14));
  EXPECT_EQ(response.results(1).byte_count(), 9);
  EXPECT_EQ(response.results(1).bits(),
            TotalOf(response.results(1).accumulator()).bits());
  EXPECT_EQ(response.results(1).log_prob_nats(),
            -TotalOf(response.results(1).accumulator()).nats());
  EXPECT_EQ(response.results(2).byte_count(), 0);
  EXPECT_EQ(response.results(2).bits(), 0);
  EXPECT_EQ(response.model_version(), "models/fake/versions/1");
  EXPECT_EQ(response.model_digest(), "fake");
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
  EXPECT_EQ(Metric(R"(grpc_server_msg_received_total{grpc_method="Score",)"
                   R"(grpc_service="spanlm.v1.ScoringService",)"
                   R"(grpc_type="unary"})"),
            1);
}

TEST_F(ScoringServiceTest, ReturnsScoresByByteWhenAsked) {
  Start();
  v1::ScoreRequest request = ScoreOf("abcd");
  request.mutable_output()->set_per_byte(true);
  request.mutable_output()->set_top_count(3);
  request.mutable_output()->set_is_greedy(true);

  v1::ScoreResponse response;
  ASSERT_TRUE(Score(request, &response).ok());

  const v1::ScoreResult& result = response.results(0);
  ASSERT_EQ(result.log_probs_size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(result.log_probs(i), FakeLogProb(*engine_, "abcd", i));
  }
  ASSERT_EQ(result.tops_size(), 4);
  EXPECT_EQ(result.tops(0).data(), std::string("\0\1\2", 3));
  EXPECT_EQ(result.tops(3).log_probs_size(), 3);
  EXPECT_FALSE(result.greedy());
}

TEST_F(ScoringServiceTest, AnItemWithAByteWithoutSymbolFailsAlone) {
  engine_options_.symbols.pop_back();
  Start();
  v1::ScoreRequest request = ScoreOf("fine");
  request.add_items()->set_continuation("not \xFF");

  v1::ScoreResponse response;
  ASSERT_TRUE(Score(request, &response).ok());

  EXPECT_FALSE(response.results(0).has_status());
  EXPECT_EQ(response.results(0).byte_count(), 4);
  const google::rpc::Status& status = response.results(1).status();
  EXPECT_EQ(status.code(), static_cast<int>(StatusCode::INVALID_ARGUMENT));
  EXPECT_EQ(DetailsOf(status).info_count, 1);
  EXPECT_EQ(DetailsOf(status).info.reason(), "FIELD_INVALID");
  const auto bad_request = DetailsOf(status).bad_request;
  ASSERT_EQ(bad_request.field_violations_size(), 1);
  EXPECT_EQ(bad_request.field_violations(0).field(), "items[1].continuation");
  EXPECT_THAT(status.message(), testing::HasSubstr("255"));
}

TEST_F(ScoringServiceTest, AStreamScoresAsOneItemDoes) {
  Start();
  const std::string text = SomeText(200000);
  std::vector<v1::ScoreStreamRequest> parts = {Open()};
  for (size_t at = 0; at < text.size(); at += 33333) {
    parts.push_back(Chunk(text.substr(at, 33333)));
  }
  parts.push_back(Chunk(""));
  parts.push_back(Finish());

  std::vector<v1::ScoreStreamResponse> answers;
  ASSERT_TRUE(RunStream(parts, &answers).ok());

  ASSERT_GE(answers.size(), 4U);  // one for each 64 KiB, and the end
  double bits = 0;
  for (const v1::ScoreStreamResponse& answer : answers) {
    bits += answer.delta_bits();
  }
  const v1::ScoreStreamResponse& last = answers.back();
  EXPECT_EQ(TotalOf(last.accumulator()), FakeScore(*engine_, text, 0));
  EXPECT_EQ(last.position(), 200000);
  EXPECT_NEAR(bits, last.total_bits(), 1e-6);
  EXPECT_EQ(last.summary().model_digest(), "fake");
  EXPECT_FALSE(answers.front().has_summary());
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

TEST_F(ScoringServiceTest, AStreamScoresLinesAndBlocks) {
  Start();
  const std::string text = "one\ntwo lines\n\nlast";

  std::vector<v1::ScoreStreamResponse> answers;
  ASSERT_TRUE(RunStream({Open(v1::ScoreStreamRequest::UNIT_LINE), Chunk(text)},
                        &answers)
                  .ok());
  std::vector<int64_t> lines;
  for (const auto& answer : answers) {
    for (const auto& unit : answer.units()) lines.push_back(unit.byte_count());
  }
  EXPECT_THAT(lines, testing::ElementsAre(4, 10, 1, 4));

  answers.clear();
  ASSERT_TRUE(
      RunStream({Open(v1::ScoreStreamRequest::UNIT_BLOCK, 8), Chunk(text)},
                &answers)
          .ok());
  std::vector<int64_t> blocks;
  for (const auto& answer : answers) {
    for (const auto& unit : answer.units()) blocks.push_back(unit.byte_count());
  }
  EXPECT_THAT(blocks, testing::ElementsAre(8, 8, 3));
}

TEST_F(ScoringServiceTest, ABrokenStreamGoesOnFromItsToken) {
  Start();
  const std::string text = SomeText(150000);
  std::vector<v1::ScoreStreamResponse> answers;
  ASSERT_TRUE(
      RunStream({Open(), Chunk(text.substr(0, 100000))}, &answers).ok());
  v1::ScoreStreamRequest open = Open();
  open.mutable_open()->set_resume_token(answers[0].resume_token());
  const int64_t from = answers[0].resume_position();
  ASSERT_LT(from, answers[0].position());

  answers.clear();
  ASSERT_TRUE(
      RunStream({open, Chunk(text.substr(static_cast<size_t>(from)))}, &answers)
          .ok());

  EXPECT_EQ(answers.back().position(), 150000);
  EXPECT_EQ(TotalOf(answers.back().accumulator()),
            FakeScore(*engine_, text, 0));
}

TEST_F(ScoringServiceTest, MessagesOutOfOrderAreRefused) {
  Start();
  EXPECT_THAT(StreamStatus({}), FailsField("part", "FORMAT"));
  EXPECT_THAT(StreamStatus({Chunk("a")}), FailsField("part", "FORMAT"));
  EXPECT_THAT(StreamStatus({Finish()}), FailsField("part", "FORMAT"));
  EXPECT_THAT(StreamStatus({v1::ScoreStreamRequest()}),
              FailsField("part", "FORMAT"));
  EXPECT_THAT(StreamStatus({Open(), Chunk("a"), Open()}),
              FailsField("part", "FORMAT"));
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

TEST_F(ScoringServiceTest, AStreamsFieldsAreChecked) {
  engine_options_.symbols.pop_back();
  Start();
  v1::ScoreStreamRequest open = Open();
  open.mutable_open()->set_model("other");
  EXPECT_THAT(StreamStatus({open}), Fails(StatusCode::NOT_FOUND, "MODEL"));

  open = Open();
  open.mutable_open()->set_session("sessions/a");
  EXPECT_THAT(StreamStatus({open}), Fails(StatusCode::UNIMPLEMENTED, "OPTION"));

  EXPECT_THAT(StreamStatus({Open(v1::ScoreStreamRequest::UNIT_BLOCK, 0)}),
              FailsField("open.block_bytes", "FIELD_INVALID"));
  EXPECT_THAT(StreamStatus({Open(v1::ScoreStreamRequest::UNIT_LINE, 1)}),
              FailsField("open.block_bytes", "FIELD_INVALID"));
  EXPECT_THAT(
      StreamStatus({Open(static_cast<v1::ScoreStreamRequest::Unit>(9))}),
      FailsField("open.unit", "FIELD_INVALID"));

  open = Open();
  open.mutable_open()->set_resume_token("nonsense");
  EXPECT_THAT(StreamStatus({open}), FailsField("open.resume_token", "FORMAT"));

  open = Open();
  open.mutable_open()->set_priority(static_cast<v1::Priority>(99));
  EXPECT_THAT(StreamStatus({open}),
              FailsField("open.priority", "FIELD_INVALID"));
  open = Open();
  open.mutable_open()->mutable_output()->set_top_count(1);
  EXPECT_THAT(StreamStatus({open}),
              FailsField("open.output.top_count", "FIELD_INVALID"));

  EXPECT_THAT(StreamStatus({Open(), Chunk(std::string((1 << 20) + 1, 'a'))}),
              FailsField("chunk", "LIMIT_EXCEEDED"));
  EXPECT_THAT(StreamStatus({Open(), Chunk("abc\xFF")}),
              FailsField("chunk", "FIELD_INVALID"));
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

TEST_F(ScoringServiceTest, AMessageAfterFinishIsRefused) {
  Start();
  engine_->Hold();
  grpc::ClientContext context;
  const auto stream = scoring()->ScoreStream(&context);
  for (const auto& part : {Open(), Chunk("abc"), Finish(), Chunk("d")}) {
    ASSERT_TRUE(stream->Write(part));
  }
  // The last one is there before the document is scored.
  EXPECT_TRUE(Eventually(
      [this] { return MetricSum("grpc_server_msg_received_total") == 4; }));
  engine_->ReleaseAll();
  v1::ScoreStreamResponse answer;
  while (stream->Read(&answer)) {
  }

  EXPECT_THAT(stream->Finish(), FailsField("part", "FORMAT"));
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
  EXPECT_EQ(
      Metric(
          R"(spanlm_requests_total{kind="score",model="fake",outcome="invalid"})"),
      1);
}

TEST_F(ScoringServiceTest, UnitByteNeedsNoPerByteForTops) {
  Start();
  v1::ScoreStreamRequest open = Open(v1::ScoreStreamRequest::UNIT_BYTE);
  open.mutable_open()->mutable_output()->set_top_count(2);

  std::vector<v1::ScoreStreamResponse> answers;
  ASSERT_TRUE(RunStream({open, Chunk("abc")}, &answers).ok());

  int log_probs = 0, tops = 0;
  for (const auto& answer : answers) {
    log_probs += answer.log_probs_size();
    tops += answer.tops_size();
  }
  EXPECT_EQ(log_probs, 3);
  EXPECT_EQ(tops, 3);
}

TEST_F(ScoringServiceTest, AStreamsAnswersFitTheMessageLimit) {
  options_.limits.max_message_bytes = 65536;
  options_.max_step_bytes = 4096;
  Start();
  v1::ScoreStreamRequest open = Open(v1::ScoreStreamRequest::UNIT_BYTE);
  open.mutable_open()->mutable_output()->set_per_byte(true);
  open.mutable_open()->mutable_output()->set_top_count(256);

  std::vector<v1::ScoreStreamResponse> answers;
  const grpc::Status status =
      RunStream({open, Chunk(SomeText(2000)), Finish()}, &answers);

  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answers.back().position(), 2000);
}

TEST_F(ScoringServiceTest, CountsTheBytesOfAStreamBothWays) {
  Start();
  v1::ScoreStreamRequest open = Open(v1::ScoreStreamRequest::UNIT_BYTE);
  open.mutable_open()->mutable_output()->set_per_byte(true);
  std::vector<v1::ScoreStreamResponse> answers;
  ASSERT_TRUE(
      RunStream({open, Chunk(SomeText(1000)), Chunk(SomeText(500))}, &answers)
          .ok());
  double answer_bytes = 0;
  for (const v1::ScoreStreamResponse& answer : answers) {
    answer_bytes += static_cast<double>(answer.ByteSizeLong());
  }

  EXPECT_EQ(Metric(R"(spanlm_request_bytes_sum{direction="in",model="fake"})"),
            1500);
  EXPECT_EQ(Metric(R"(spanlm_request_bytes_sum{direction="out",model="fake"})"),
            answer_bytes);
}

TEST_F(ScoringServiceTest, AReaderThatDoesNotReadHoldsUpOnlyItself) {
  options_.limits.stream_buffer_bytes = 4096;
  Start();
  grpc::ClientContext context;
  const auto stream = scoring()->ScoreStream(&context);
  v1::ScoreStreamRequest open = Open(v1::ScoreStreamRequest::UNIT_BYTE);
  open.mutable_open()->mutable_output()->set_per_byte(true);
  open.mutable_open()->mutable_output()->set_top_count(256);
  ASSERT_TRUE(stream->Write(open));
  ASSERT_TRUE(Send(stream.get(), SomeText(1 << 20)));

  // The document would make 1.3 GB of answers; it stands still long before.
  const std::string scored =
      R"(spanlm_scored_bytes_total{kind="score",model="fake"})";
  const auto stands_still = [&] {
    const double before = Metric(scored);
    for (int i = 0; i < 20; ++i) {
      v1::ScoreResponse response;
      if (!Score(ScoreOf("x"), &response).ok()) return false;
    }
    return Metric(scored) == before + 20;
  };
  EXPECT_TRUE(Eventually(stands_still));
  EXPECT_LT(Metric(scored), 200000);

  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

}  // namespace
}  // namespace spanlm
