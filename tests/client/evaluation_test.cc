// SPDX-License-Identifier: Apache-2.0
#include "client/evaluation.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/resume_file.h"
#include "gtest/gtest.h"
#include "tests/client/evaluation_peer.h"
#include "tests/client/fake_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAre;

EvaluationOrder OrderOf(int32_t shard_count) {
  EvaluationOrder order;
  order.dataset = "text";
  order.shard_count = shard_count;
  return order;
}

TEST(SplitRangeTest, CoversTheRangeOnceOnTheGrid) {
  for (const int32_t count : {1, 2, 3, 7, 64}) {
    int64_t at = 137;
    const auto shards = SplitRange(137, 99'999, count);
    for (const EvaluationShard& shard : shards) {
      EXPECT_EQ(shard.begin, at);
      EXPECT_GT(shard.end, shard.begin);
      EXPECT_TRUE(shard.end % kShardGrid == 0 || shard.end == 99'999);
      at = shard.end;
    }
    EXPECT_EQ(at, 99'999);
    EXPECT_LE(shards.size(), static_cast<size_t>(count));
  }
}

TEST(SplitRangeTest, GivesFewerShardsOfAShortRange) {
  EXPECT_THAT(SplitRange(10, 20, 5), SizeIs(1));
  EXPECT_THAT(SplitRange(10, 10, 5), SizeIs(1));
  EXPECT_THAT(SplitRange(0, 2 * kShardGrid, 5), SizeIs(2));
}

TEST(SplitRangeTest, DoesNotOverflowOnHugeRanges) {
  const int64_t end = std::numeric_limits<int64_t>::max();
  const auto shards = SplitRange(0, end, 1000);

  EXPECT_THAT(shards, SizeIs(1000));
  EXPECT_EQ(shards.back().end, end);
}

TEST(MergeResultsTest, AddsAdjacentRangesExactly) {
  ASSERT_OK_AND_ASSIGN(EvaluationTotal total,
                       MergeResults({MakeResult(5, 100), MakeResult(100, 4096),
                                     MakeResult(4096, 10'000)}));

  EXPECT_EQ(total.begin, 5);
  EXPECT_EQ(total.end, 10'000);
  EXPECT_EQ(total.byte_count, 9'995);
  EXPECT_EQ(total.bits, CostOf(5, 10'000));
}

TEST(MergeResultsTest, RefusesWhatDoesNotBelongTogether) {
  const v1::EvaluationResult first = MakeResult(0, 10);
  const auto merge = [&](auto change) {
    v1::EvaluationResult second = MakeResult(10, 20);
    change(&second);
    return MergeResults({first, second});
  };

  EXPECT_OK(merge([](auto*) {}).status());
  EXPECT_THAT(merge([](auto* second) { second->set_model_digest("d2"); }),
              StatusIs(absl::StatusCode::kFailedPrecondition, "digest is d1"));
  EXPECT_THAT(merge([](auto* second) { second->set_numerics("int8"); }),
              StatusIs(absl::StatusCode::kFailedPrecondition, "numerics"));
  EXPECT_THAT(merge([](auto* second) {
                second->set_protocol(v1::EVALUATION_PROTOCOL_REFERENCE_F);
              }),
              StatusIs(absl::StatusCode::kFailedPrecondition, "protocol"));
  EXPECT_THAT(
      merge([](auto* second) { second->mutable_range()->set_begin(11); }),
      StatusIs(absl::StatusCode::kFailedPrecondition, "boundary"));
  EXPECT_THAT(MergeResults({}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

class TwoServersTest : public testing::Test {
 protected:
  FakeServer server_a_;
  FakeServer server_b_;
  EvaluationPeer peer_a_{&server_a_};
  EvaluationPeer peer_b_{&server_b_};
  Client client_a_{server_a_.Options()};
  Client client_b_{server_b_.Options()};
};

TEST_F(TwoServersTest, IsTheSameSumForAnyNumberOfShardsAndServers) {
  for (const int32_t shard_count : {1, 2, 3, 7}) {
    Evaluation evaluation(OrderOf(shard_count), {&client_a_, &client_b_}, {});
    ASSERT_OK_AND_ASSIGN(EvaluationTotal total, evaluation.Run());

    EXPECT_EQ(total.bits, CostOf(0, kDatasetBytes));
    EXPECT_EQ(total.byte_count, kDatasetBytes);
    EXPECT_EQ(evaluation.fresh_bytes(), kDatasetBytes);
  }
  EXPECT_THAT(peer_a_.ranges(), SizeIs(1 + 1 + 2 + 4));
  EXPECT_THAT(peer_b_.ranges(), SizeIs(0 + 1 + 1 + 3));
}

TEST_F(TwoServersTest, GoesOnOnAnotherServerWhereOneIsGone) {
  server_a_.Stop();

  Evaluation evaluation(OrderOf(3), {&client_a_, &client_b_}, {});
  ASSERT_OK_AND_ASSIGN(EvaluationTotal total, evaluation.Run());

  EXPECT_EQ(total.bits, CostOf(0, kDatasetBytes));
  EXPECT_THAT(peer_a_.ranges(), testing::IsEmpty());
  EXPECT_THAT(peer_b_.ranges(), SizeIs(3));
}

TEST(EvaluationTest, RefusesToAddShardsOfDifferentModels) {
  FakeServer server;
  EvaluationPeer peer(&server);
  peer.other_digest = "d2";
  Client client(server.Options());

  EXPECT_THAT(Evaluation(OrderOf(2), {&client}, {}).Run(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "digest"));
}

TEST(EvaluationTest, GoesOnFromTheResumeFile) {
  TempDir folder;
  FakeServer server;
  EvaluationPeer peer(&server);
  Client client(server.Options());
  Evaluation::Options options;
  options.resume_file = folder.File("state.json");
  peer.fail_at = 4096;  // the second of [0, 4096), [4096, 10000)
  ASSERT_THAT(Evaluation(OrderOf(2), {&client}, options).Run(),
              StatusIs(absl::StatusCode::kInternal, "NAN: not a number"));
  peer.fail_at = -1;

  Evaluation again(OrderOf(2), {&client}, options);
  ASSERT_OK_AND_ASSIGN(EvaluationTotal total, again.Run());

  EXPECT_EQ(total.bits, CostOf(0, kDatasetBytes));
  EXPECT_THAT(peer.tokens(), testing::Contains("at 7048"));
  EXPECT_LT(again.fresh_bytes(), kDatasetBytes);

  const size_t calls = peer.tokens().size();
  ASSERT_OK_AND_ASSIGN(total, Evaluation(OrderOf(2), {&client}, options).Run());
  EXPECT_EQ(total.bits, CostOf(0, kDatasetBytes));
  EXPECT_THAT(peer.tokens(), SizeIs(calls));  // nothing was left to ask for
}

TEST(EvaluationTest, RefusesAResumeFileThatCannotBeWrittenBeforeAnyWork) {
  TempDir folder;
  FakeServer server;
  EvaluationPeer peer(&server);
  Client client(server.Options());
  Evaluation::Options options;
  options.resume_file = folder.File("missing/state.json");

  EXPECT_THAT(Evaluation(OrderOf(2), {&client}, options).Run(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "create: No such file or directory"));
  EXPECT_THAT(peer.tokens(), testing::IsEmpty());
}

TEST(EvaluationTest, ReportsProgressOfAllShardsTogether) {
  FakeServer server;
  EvaluationPeer peer(&server);
  Client client(server.Options());
  std::vector<int64_t> done;
  Evaluation::Options options;
  options.on_progress = [&](const Progress::State& state) {
    done.push_back(state.done_bytes);
    EXPECT_EQ(state.total_bytes, kDatasetBytes);
  };

  ASSERT_OK(Evaluation(OrderOf(3), {&client}, options).Run().status());

  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), kDatasetBytes);
}

TEST(EvaluationTest, NamesADataSetThatIsNotThere) {
  FakeServer server;
  EvaluationPeer peer(&server);
  Client client(server.Options());
  EvaluationOrder order = OrderOf(2);
  order.dataset = "missing";

  EXPECT_THAT(Evaluation(order, {&client}, {}).Run(),
              StatusIs(absl::StatusCode::kNotFound, "missing"));
}

TEST(EvaluationTest, RefusesARangeThatBeginsBeyondTheEnd) {
  FakeServer server;
  EvaluationPeer peer(&server);
  Client client(server.Options());
  EvaluationOrder order = OrderOf(2);
  order.begin = kDatasetBytes + 1;

  EXPECT_THAT(Evaluation(order, {&client}, {}).Run(),
              StatusIs(absl::StatusCode::kOutOfRange, "10000 bytes"));
}

class ResumeFileTest : public testing::Test {
 protected:
  ResumeFileTest() : path_(folder_.File("state.json")) {
    EvaluationShard done;
    done.begin = 0;
    done.end = 4096;
    done.scored_bytes = 4096;
    done.bits = CostOf(0, 4096);
    done.has_result = true;
    done.result = MakeResult(0, 4096);
    EvaluationShard half;
    half.begin = 4096;
    half.resume_token = std::string("\0\xff token", 8);
    half.bits = BitsTotal::FromHighLow(3, -5);
    shards_ = {done, half};
  }

  TempDir folder_;
  const std::string path_;
  std::vector<EvaluationShard> shards_;
};

TEST_F(ResumeFileTest, ReturnsWhatWasWritten) {
  ASSERT_OK(WriteResumeFile(path_, OrderOf(2), shards_));

  ASSERT_OK_AND_ASSIGN(auto shards, ReadResumeFile(path_, OrderOf(2)));

  ASSERT_THAT(shards, SizeIs(2));
  EXPECT_TRUE(shards[0].has_result);
  EXPECT_EQ(shards[0].result.SerializeAsString(),
            shards_[0].result.SerializeAsString());
  EXPECT_EQ(shards[0].scored_bytes, 4096);
  EXPECT_FALSE(shards[1].has_result);
  EXPECT_EQ(shards[1].end, -1);
  EXPECT_EQ(shards[1].resume_token, shards_[1].resume_token);
  EXPECT_EQ(shards[1].bits, shards_[1].bits);
}

TEST_F(ResumeFileTest, IsEmptyWhereThereIsNone) {
  ASSERT_OK_AND_ASSIGN(auto shards, ReadResumeFile(path_, OrderOf(2)));

  EXPECT_THAT(shards, SizeIs(0));
}

TEST_F(ResumeFileTest, ReplacesTheFileAsAWhole) {
  ASSERT_OK(WriteResumeFile(path_, OrderOf(2), shards_));
  const std::string before = ReadFile(path_);
  // A reader that has the old file open keeps all of it: it was not rewritten
  // in place.
  std::ifstream old_file(path_, std::ios::binary);
  shards_[1].scored_bytes = 77;
  ASSERT_OK(WriteResumeFile(path_, OrderOf(2), shards_));

  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(old_file), {}), before);
  EXPECT_NE(ReadFile(path_), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()),
                          std::filesystem::directory_iterator()),
            1);
}

TEST_F(ResumeFileTest, RefusesAnotherOrderAndNamesTheDifference) {
  ASSERT_OK(WriteResumeFile(path_, OrderOf(2), shards_));
  EvaluationOrder other = OrderOf(2);
  other.dataset = "other";

  EXPECT_THAT(ReadResumeFile(path_, other),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "dataset is \"text\", not \"other\""));
  EXPECT_THAT(
      ReadResumeFile(path_, OrderOf(3)),
      StatusIs(absl::StatusCode::kFailedPrecondition, "shard_count is 2"));
}

TEST_F(ResumeFileTest, RefusesATruncatedFile) {
  ASSERT_OK(WriteResumeFile(path_, OrderOf(2), shards_));
  const std::string whole = ReadFile(path_);

  for (size_t size = 0; size + 2 < whole.size(); size += 7) {
    const std::string cut = folder_.Write("cut.json", whole.substr(0, size));
    EXPECT_THAT(ReadResumeFile(cut, OrderOf(2)),
                StatusIs(absl::StatusCode::kDataLoss, "cut.json"))
        << size;
  }
}

TEST_F(ResumeFileTest, RefusesWrongTypes) {
  for (const char* text :
       {"[]", "{}", R"({"format":"spanlm-evaluation-resume-1"})",
        R"({"format":3,"order":1,"shards":[]})"}) {
    EXPECT_THAT(ReadResumeFile(folder_.Write("bad.json", text), OrderOf(1)),
                StatusIs(absl::StatusCode::kDataLoss))
        << text;
  }
}

}  // namespace
}  // namespace spanlm
