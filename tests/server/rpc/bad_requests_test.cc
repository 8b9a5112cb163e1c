// SPDX-License-Identifier: Apache-2.0
// Every error of a request's fields, as a client sees it.
#include <limits>

#include "tests/server/rpc/served_fixture.h"

namespace spanlm {
namespace {

using grpc::StatusCode;

class BadRequestsTest : public ServedTest {
 protected:
  BadRequestsTest() {
    // Small, so that a message at the limit is scored soon; the 100 000 empty
    // items below need 200 kB.
    options_.limits.max_message_bytes = 256 << 10;
    Start();
  }

  grpc::Status Refused(const v1::ScoreRequest& request) {
    v1::ScoreResponse response;
    return Score(request, &response);
  }
  grpc::Status Refused(const v1::GenerateRequest& request) {
    v1::GenerateResponse response;
    return Generate(request, &response);
  }
  grpc::Status Refused(const v1::GenerateStreamRequest& request) {
    v1::GenerateStreamResponse response;
    return GenerateStream(request, &response);
  }
  grpc::Status Refused(const v1::EvaluateRequest& request) {
    v1::EvaluationProgress progress;
    v1::EvaluationResult result;
    return Evaluate(request, &progress, &result);
  }
};

TEST_F(BadRequestsTest, ScoreNamesTheField) {
  EXPECT_THAT(Refused(v1::ScoreRequest()),
              FailsField("items", "FIELD_INVALID"));

  v1::ScoreRequest request = ScoreOf("abc");
  request.mutable_output()->set_top_count(5);
  EXPECT_THAT(Refused(request),
              FailsField("output.top_count", "FIELD_INVALID"));

  request.mutable_output()->set_per_byte(true);
  request.mutable_output()->set_top_count(257);
  EXPECT_THAT(Refused(request),
              FailsField("output.top_count", "FIELD_INVALID"));
  request.mutable_output()->set_top_count(-1);
  EXPECT_THAT(Refused(request),
              FailsField("output.top_count", "FIELD_INVALID"));

  request = ScoreOf("abc");
  request.set_priority(static_cast<v1::Priority>(99));
  EXPECT_THAT(Refused(request), FailsField("priority", "FIELD_INVALID"));
  EXPECT_TRUE(IsIdle());
}

TEST_F(BadRequestsTest, ScoreRefusesMoreThanItsLimits) {
  v1::ScoreRequest many;
  for (int i = 0; i < 100000; ++i) many.add_items();
  EXPECT_THAT(Refused(many), FailsField("items", "LIMIT_EXCEEDED"));

  v1::ScoreRequest wide = ScoreOf(SomeText(10000));
  wide.mutable_output()->set_per_byte(true);
  wide.mutable_output()->set_top_count(256);
  EXPECT_THAT(Refused(wide), FailsField("output", "LIMIT_EXCEEDED"));
}

// What surrounds the scores counts, too: a text of one byte takes more of it
// than of scores.
TEST_F(BadRequestsTest, AnAnswerNeverOutgrowsTheMessageLimit) {
  v1::ScoreRequest request;
  for (int i = 0; i < 1024; ++i) request.add_items()->set_continuation("a");
  request.mutable_output()->set_per_byte(true);
  for (int32_t top_count = 40; top_count <= 50; ++top_count) {
    request.mutable_output()->set_top_count(top_count);
    const grpc::Status status = Refused(request);
    if (status.ok()) continue;
    EXPECT_THAT(status, FailsField("output", "LIMIT_EXCEEDED")) << top_count;
  }
  v1::GenerateRequest generate =
      GenerateOf("", options_.limits.max_message_bytes);
  EXPECT_THAT(Refused(generate),
              FailsField("stop.max_bytes", "LIMIT_EXCEEDED"));
}

TEST_F(BadRequestsTest, OneByteOverTheMessageLimitIsRefused) {
  v1::ScoreRequest request = ScoreOf("");
  const size_t limit = static_cast<size_t>(options_.limits.max_message_bytes);
  request.mutable_items(0)->set_continuation(std::string(limit, 'a'));
  std::string* text = request.mutable_items(0)->mutable_continuation();
  while (request.ByteSizeLong() > limit + 1) text->pop_back();
  ASSERT_EQ(request.ByteSizeLong(), limit + 1);

  EXPECT_EQ(Refused(request).error_code(), StatusCode::RESOURCE_EXHAUSTED);

  text->pop_back();
  EXPECT_TRUE(Refused(request).ok());
}

TEST_F(BadRequestsTest, UnknownModelsAreNotFound) {
  for (const std::string& name :
       {std::string("other"), std::string("models/other"), std::string(".."),
        std::string("/"), std::string("models/../fake"),
        std::string("fake\0", 5), std::string(100000, 'x')}) {
    v1::ScoreRequest score = ScoreOf("abc");
    score.set_model(name);
    const grpc::Status status = Refused(score);
    EXPECT_THAT(status, Fails(StatusCode::NOT_FOUND, "MODEL")) << name.size();
    EXPECT_LE(status.error_message().size(), 1024U);

    v1::GenerateRequest generate = GenerateOf("", 1);
    generate.set_model(name);
    EXPECT_THAT(Refused(generate), Fails(StatusCode::NOT_FOUND, "MODEL"));
    v1::EvaluateRequest evaluate;
    evaluate.set_model(name);
    EXPECT_THAT(Refused(evaluate), Fails(StatusCode::NOT_FOUND, "MODEL"));
  }
}

TEST_F(BadRequestsTest, SamplingNamesTheField) {
  const auto with = [](const std::function<void(v1::SamplingOptions*)>& set) {
    v1::GenerateRequest request = GenerateOf("a", 1);
    set(request.mutable_sampling());
    return request;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {-0.1F, nan, infinity}) {
    EXPECT_THAT(Refused(with([&](auto* s) { s->set_temperature(bad); })),
                FailsField("sampling.temperature", "FIELD_INVALID"));
    EXPECT_THAT(Refused(with([&](auto* s) { s->set_min_p(bad); })),
                FailsField("sampling.min_p", "FIELD_INVALID"));
  }
  for (const int32_t bad : {-1, 257}) {
    EXPECT_THAT(Refused(with([&](auto* s) { s->set_top_k(bad); })),
                FailsField("sampling.top_k", "FIELD_INVALID"));
  }
  for (const float bad : {0.0F, 1.1F, nan}) {
    EXPECT_THAT(Refused(with([&](auto* s) { s->set_top_p(bad); })),
                FailsField("sampling.top_p", "FIELD_INVALID"));
  }
  for (const float bad : {0.0F, -1.0F, nan, infinity}) {
    EXPECT_THAT(Refused(with([&](auto* s) { s->set_repetition_penalty(bad); })),
                FailsField("sampling.repetition_penalty", "FIELD_INVALID"));
  }
  for (const int32_t bad : {-1, 65537}) {
    EXPECT_THAT(
        Refused(with([&](auto* s) { s->set_repetition_window_bytes(bad); })),
        FailsField("sampling.repetition_window_bytes", "FIELD_INVALID"));
  }
}

TEST_F(BadRequestsTest, StopNamesTheField) {
  EXPECT_THAT(Refused(v1::GenerateRequest()),
              FailsField("stop.max_bytes", "FIELD_INVALID"));
  EXPECT_THAT(Refused(GenerateOf("a", (1 << 20) + 1)),
              FailsField("stop.max_bytes", "LIMIT_EXCEEDED"));

  v1::GenerateRequest request = GenerateOf("a", 1);
  for (int i = 0; i < 17; ++i) request.mutable_stop()->add_sequences("x");
  EXPECT_THAT(Refused(request), FailsField("stop.sequences", "LIMIT_EXCEEDED"));

  for (const size_t bad : {0, 257}) {
    request = GenerateOf("a", 1);
    request.mutable_stop()->add_sequences("fine");
    request.mutable_stop()->add_sequences(std::string(bad, 'x'));
    EXPECT_THAT(Refused(request),
                FailsField("stop.sequences[1]", "FIELD_INVALID"));
  }

  request = GenerateOf("a", 1);
  request.mutable_stop()->mutable_max_duration();
  EXPECT_THAT(Refused(request),
              FailsField("stop.max_duration", "FIELD_INVALID"));
  request.mutable_stop()->mutable_max_duration()->set_nanos(2000000000);
  EXPECT_THAT(Refused(request),
              FailsField("stop.max_duration.nanos", "FIELD_INVALID"));
  request.mutable_stop()->mutable_max_duration()->set_seconds(
      std::numeric_limits<int64_t>::max());
  EXPECT_THAT(Refused(request),
              FailsField("stop.max_duration.seconds", "FIELD_INVALID"));
}

TEST_F(BadRequestsTest, GenerationOutputNamesTheField) {
  v1::GenerateRequest request = GenerateOf("a", 1);
  request.mutable_output()->set_top_count(1);
  EXPECT_THAT(Refused(request),
              FailsField("output.top_count", "FIELD_INVALID"));

  request = GenerateOf("a", 1 << 20);
  request.mutable_output()->set_log_probs(true);
  EXPECT_THAT(Refused(request), FailsField("stop.max_bytes", "LIMIT_EXCEEDED"));
}

TEST_F(BadRequestsTest, FlowNamesTheField) {
  const auto with = [](const std::function<void(v1::FlowOptions*)>& set) {
    v1::GenerateStreamRequest request;
    request.mutable_stop()->set_max_bytes(1);
    set(request.mutable_flow());
    return request;
  };
  for (const int32_t bad : {0, 65537}) {
    EXPECT_THAT(Refused(with([&](auto* f) { f->set_min_chunk_bytes(bad); })),
                FailsField("flow.min_chunk_bytes", "FIELD_INVALID"));
  }
  for (const int64_t bad : {-1, 11}) {
    EXPECT_THAT(Refused(with([&](auto* f) {
                  f->mutable_max_delay()->set_seconds(bad);
                })),
                FailsField("flow.max_delay", "FIELD_INVALID"));
  }
  v1::GenerateStreamRequest request = with([](auto*) {});
  request.set_from_position(5);
  EXPECT_THAT(Refused(request), FailsField("from_position", "FIELD_INVALID"));
}

TEST_F(BadRequestsTest, EvaluateNamesTheField) {
  v1::EvaluateRequest request;
  EXPECT_THAT(Refused(request), FailsField("source", "FIELD_INVALID"));

  request.set_data("some text");
  request.set_warmup_bytes(-2);
  EXPECT_THAT(Refused(request), FailsField("warmup_bytes", "FIELD_INVALID"));
  request.clear_warmup_bytes();

  for (const int64_t bad : {-1, 0, 3601}) {
    request.mutable_progress_interval()->set_seconds(bad);
    EXPECT_THAT(Refused(request),
                FailsField("progress_interval", "FIELD_INVALID"));
  }
  request.clear_progress_interval();

  request.set_resume_token("no token");
  EXPECT_THAT(Refused(request), FailsField("resume_token", "FORMAT"));
  request.clear_resume_token();

  request.mutable_block_streams();
  EXPECT_THAT(Refused(request), FailsField("block_streams", "FIELD_INVALID"));
  request.clear_block_streams();

  request.set_protocol(static_cast<v1::EvaluationProtocol>(99));
  EXPECT_THAT(Refused(request), FailsField("protocol", "FIELD_INVALID"));
}

TEST_F(BadRequestsTest, ARangeBeyondTheDataIsOutOfRange) {
  const std::pair<int64_t, int64_t> bad_ranges[] = {
      {-1, 2},
      {0, 10},
      {5, 4},
      {10, 10},
      {std::numeric_limits<int64_t>::min(),
       std::numeric_limits<int64_t>::max()}};
  for (const auto& [begin, end] : bad_ranges) {
    v1::EvaluateRequest request;
    request.set_data("nine byte");
    request.mutable_range()->set_begin(begin);
    request.mutable_range()->set_end(end);
    EXPECT_THAT(Refused(request), Fails(StatusCode::OUT_OF_RANGE, "RANGE"))
        << begin << " " << end;
  }
}

TEST_F(BadRequestsTest, WhatIsNotBuiltInIsUnimplementedNotIgnored) {
  v1::ScoreRequest score = ScoreOf("abc");
  score.mutable_items(0)->set_session("sessions/a");
  EXPECT_THAT(Refused(score), Fails(StatusCode::UNIMPLEMENTED, "OPTION"));

  v1::GenerateRequest generate = GenerateOf("abc", 1);
  generate.set_session("sessions/a");
  EXPECT_THAT(Refused(generate), Fails(StatusCode::UNIMPLEMENTED, "OPTION"));

  v1::EvaluateRequest evaluate;
  evaluate.set_data("abc");
  for (const v1::EvaluationProtocol protocol :
       {v1::EVALUATION_PROTOCOL_BLOCK_STREAMS,
        v1::EVALUATION_PROTOCOL_REFERENCE_O,
        v1::EVALUATION_PROTOCOL_REFERENCE_F,
        v1::EVALUATION_PROTOCOL_REFERENCE_K}) {
    evaluate.set_protocol(protocol);
    EXPECT_THAT(Refused(evaluate), Fails(StatusCode::UNIMPLEMENTED, "OPTION"));
  }
}

TEST_F(BadRequestsTest, PagesNameTheField) {
  grpc::ClientContext first;
  v1::ListModelsRequest models_request;
  models_request.set_page_size(-1);
  v1::ListModelsResponse models_response;
  EXPECT_THAT(models()->ListModels(&first, models_request, &models_response),
              FailsField("page_size", "FIELD_INVALID"));

  grpc::ClientContext second;
  v1::ListDatasetsRequest datasets_request;
  datasets_request.set_page_token("not base64!");
  v1::ListDatasetsResponse datasets_response;
  EXPECT_THAT(
      evaluation()->ListDatasets(&second, datasets_request, &datasets_response),
      FailsField("page_token", "FIELD_INVALID"));

  grpc::ClientContext third;
  datasets_request.set_page_token("AAAA");  // base64, and nothing of ours
  EXPECT_THAT(
      evaluation()->ListDatasets(&third, datasets_request, &datasets_response),
      FailsField("page_token", "FIELD_INVALID"));
}

TEST_F(BadRequestsTest, InvalidRequestsAreCounted) {
  Refused(v1::ScoreRequest());
  Refused(v1::GenerateRequest());

  EXPECT_EQ(
      Metric(
          R"(spanlm_requests_total{kind="score",model="fake",outcome="invalid"})"),
      1);
  EXPECT_EQ(
      Metric(
          R"(spanlm_requests_total{kind="generate",model="fake",outcome="invalid"})"),
      1);
}

TEST_F(BadRequestsTest, RequestsToModelsThatAreNotThereAreCounted) {
  v1::ScoreRequest score = ScoreOf("abc");
  score.set_model("made-up");
  Refused(score);
  v1::EvaluateRequest evaluate;
  evaluate.set_model("made-up");
  Refused(evaluate);

  EXPECT_EQ(
      Metric(
          R"(spanlm_requests_total{kind="score",model="other",outcome="invalid"})"),
      1);
  EXPECT_EQ(
      Metric(
          R"(spanlm_requests_total{kind="evaluate",model="other",outcome="invalid"})"),
      1);
  EXPECT_EQ(
      Metric(
          R"(spanlm_requests_total{kind="generate",model="other",outcome="invalid"})"),
      0);
}

}  // namespace
}  // namespace spanlm
