// SPDX-License-Identifier: Apache-2.0
#include "client/score_stream.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/client/fake_server.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kUnit = int64_t{64} << 10;

// `size` bytes, none of which repeats near by.
std::string Document(int64_t size) {
  std::string text(size, '\0');
  for (int64_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>(i * 2654435761u >> 13);
  }
  return text;
}

Client::ChunkReader ChunksOf(const std::string& text, int64_t chunk_bytes) {
  auto at = std::make_shared<size_t>(0);
  return [&text, chunk_bytes, at]() -> absl::StatusOr<std::string> {
    const std::string chunk =
        text.substr(std::min(*at, text.size()), chunk_bytes);
    *at += chunk.size();
    return chunk;
  };
}

absl::Status Ignore(const v1::ScoreStreamResponse&) { return absl::OkStatus(); }

// Answers each kUnit bytes with a token for that place, as the server does,
// and remembers what it was sent. Breaks off after `break_after` bytes, once.
class Peer {
 public:
  explicit Peer(FakeServer* server, int64_t break_after = -1)
      : server_(server), break_after_(break_after) {
    server->on_score_stream = [this](auto*, auto* stream) {
      return Serve(stream);
    };
  }

  // A call that its client gave up may still be served.
  ~Peer() { server_->Stop(); }

  grpc::Status Serve(FakeServer::ScoreStreamPeer* stream) {
    v1::ScoreStreamRequest request;
    // Nothing comes where the client gives up at once.
    if (!stream->Read(&request)) return grpc::Status::CANCELLED;
    EXPECT_TRUE(request.has_open());
    tokens.push_back(request.open().resume_token());
    int64_t position = tokens.back().empty() ? 0 : std::stoll(tokens.back());
    received.resize(position);
    bool finished = false;
    while (!finished && stream->Read(&request)) {
      finished = request.has_finish();
      EXPECT_LE(request.chunk().size(), size_t{1} << 20);
      received += request.chunk();
      if (break_after_ >= 0 &&
          static_cast<int64_t>(received.size()) > break_after_) {
        break_after_ = -1;
        return ServerError(grpc::UNAVAILABLE, "DRAINING", "the server ends");
      }
      while (static_cast<int64_t>(received.size()) >= position + kUnit) {
        position += kUnit;
        Answer(stream, position, /*last=*/false);
      }
    }
    Answer(stream, received.size(), /*last=*/true);
    return grpc::Status::OK;
  }

  std::string received;
  std::vector<std::string> tokens;

 private:
  static void Answer(FakeServer::ScoreStreamPeer* stream, int64_t position,
                     bool last) {
    v1::ScoreStreamResponse answer;
    answer.set_position(position);
    // Every second answer has no token: it is not final yet.
    if (position / kUnit % 2 == 0) {
      answer.set_resume_token(std::to_string(position));
      answer.set_resume_position(position);
    }
    if (last) answer.mutable_summary()->set_model_digest("abc");
    stream->Write(answer);
  }

  FakeServer* const server_;
  int64_t break_after_;
};

TEST(ScoreStreamTest, SendsTheWholeDocumentInOrder) {
  FakeServer server;
  Peer peer(&server);
  const std::string text = Document(10 * kUnit + 17);
  Client client(server.Options());

  ASSERT_OK_AND_ASSIGN(v1::ScoreStreamResponse last,
                       client.ScoreStream({}, ChunksOf(text, 30000), Ignore));

  EXPECT_EQ(last.position(), static_cast<int64_t>(text.size()));
  EXPECT_EQ(last.summary().model_digest(), "abc");
  EXPECT_TRUE(peer.received == text);
}

TEST(ScoreStreamTest, ScoresAnEmptyDocument) {
  FakeServer server;
  Peer peer(&server);
  Client client(server.Options());

  ASSERT_OK_AND_ASSIGN(v1::ScoreStreamResponse last,
                       client.ScoreStream({}, ChunksOf("", 10), Ignore));

  EXPECT_EQ(last.position(), 0);
}

TEST(ScoreStreamTest, GoesOnFromTheTokenAndHandsEachAnswerOnOnce) {
  FakeServer server;
  Peer peer(&server, /*break_after=*/5 * kUnit + 100);
  const std::string text = Document(9 * kUnit);
  Client client(server.Options());
  std::vector<int64_t> positions;

  ASSERT_OK_AND_ASSIGN(
      v1::ScoreStreamResponse last,
      client.ScoreStream({}, ChunksOf(text, kUnit),
                         [&](const v1::ScoreStreamResponse& answer) {
                           positions.push_back(answer.position() / kUnit);
                           return absl::OkStatus();
                         }));

  EXPECT_EQ(last.position(), static_cast<int64_t>(text.size()));
  EXPECT_THAT(peer.tokens, ElementsAre("", std::to_string(4 * kUnit)));
  // The last answer comes twice from this peer: as a unit and as the end.
  EXPECT_THAT(positions, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 9));
  EXPECT_TRUE(peer.received == text);
}

TEST(ScoreStreamTest, StartsAgainWhereNoTokenCameYet) {
  FakeServer server;
  Peer peer(&server, /*break_after=*/100);
  const std::string text = Document(3 * kUnit);
  Client client(server.Options());

  ASSERT_OK(client.ScoreStream({}, ChunksOf(text, 1000), Ignore).status());

  EXPECT_THAT(peer.tokens, ElementsAre("", ""));
  EXPECT_TRUE(peer.received == text);
}

TEST(ScoreStreamTest, ReturnsTheReadersError) {
  FakeServer server;
  Peer peer(&server);
  Client client(server.Options());

  EXPECT_THAT(client.ScoreStream(
                  {},
                  []() -> absl::StatusOr<std::string> {
                    return absl::DataLossError("disk");
                  },
                  Ignore),
              StatusIs(absl::StatusCode::kDataLoss, "disk"));
}

TEST(ScoreStreamTest, ReturnsTheCallbacksError) {
  FakeServer server;
  Peer peer(&server);
  const std::string text = Document(20 * kUnit);
  Client client(server.Options());

  EXPECT_THAT(client.ScoreStream(
                  {}, ChunksOf(text, kUnit),
                  [](const auto&) { return absl::AbortedError("enough"); }),
              StatusIs(absl::StatusCode::kAborted, "enough"));
  EXPECT_THAT(server.waits, IsEmpty());
}

// A model that sees far asks for a resumed stream to start far back.
TEST(ScoreStreamTest, SendsOnWhereResumingStartsFarBack) {
  FakeServer server;
  server.on_score_stream = [](auto*, FakeServer::ScoreStreamPeer* stream) {
    v1::ScoreStreamRequest request;
    v1::ScoreStreamResponse answer;
    while (stream->Read(&request) && !request.has_finish()) {
      answer.set_position(answer.position() + request.chunk().size());
      answer.set_resume_token("t");  // its resume_position stays 0
      stream->Write(answer);
    }
    answer.mutable_summary()->set_model_digest("abc");
    stream->Write(answer);
    return grpc::Status::OK;
  };
  const std::string text = Document(160 * kUnit);
  Client client(server.Options());

  ASSERT_OK_AND_ASSIGN(
      v1::ScoreStreamResponse last,
      client.ScoreStream({}, ChunksOf(text, 4 * kUnit), Ignore));

  EXPECT_EQ(last.position(), 160 * kUnit);
}

TEST(ScoreStreamTest, RefusesAResumePositionThatItNeverSent) {
  FakeServer server;
  server.on_score_stream = [](auto*, FakeServer::ScoreStreamPeer* stream) {
    v1::ScoreStreamResponse answer;
    answer.set_resume_token("x");
    answer.set_resume_position(1000);
    stream->Write(answer);
    return grpc::Status::OK;
  };
  Client client(server.Options());

  EXPECT_THAT(client.ScoreStream({}, ChunksOf("abc", 10), Ignore),
              StatusIs(absl::StatusCode::kInternal, "resume position"));
}

TEST(ScoreStreamTest, RefusesAnEndWithoutASummary) {
  FakeServer server;
  server.on_score_stream = [](auto*, auto*) { return grpc::Status::OK; };
  Client client(server.Options());

  EXPECT_THAT(client.ScoreStream({}, ChunksOf("abc", 10), Ignore),
              StatusIs(absl::StatusCode::kInternal, "without a summary"));
}

}  // namespace
}  // namespace spanlm
