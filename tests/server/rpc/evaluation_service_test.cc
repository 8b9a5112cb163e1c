// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "base/bits_total.h"
#include "server/rpc/sha256.h"
#include "tests/server/rpc/served_fixture.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using grpc::StatusCode;

std::string DigestOf(const std::string& text) {
  Sha256 sha;
  sha.Update(text);
  return sha.Hex();
}

class EvaluationServiceTest : public ServedTest {
 protected:
  // A root with some files, and one beside it.
  EvaluationServiceTest() {
    std::filesystem::create_directories(folder_.File("root/sub"));
    folder_.Write("outside.txt", "secret");
    folder_.Write("root/text.txt", text_);
    folder_.Write("root/sub/more.txt", "more");
    EXPECT_EQ(symlink("../outside.txt", folder_.File("root/link").c_str()), 0);
    EXPECT_EQ(symlink("..", folder_.File("root/up").c_str()), 0);
    EXPECT_EQ(mkfifo(folder_.File("root/pipe").c_str(), 0600), 0);
    options_.dataset_root = folder_.File("root");
  }

  grpc::Status Run(const v1::EvaluateRequest& request) {
    return Evaluate(request, &progress_, &result_);
  }
  BitsTotal Total() const {
    return BitsTotal::FromHighLow(result_.accumulator().high(),
                                  result_.accumulator().low());
  }
  static v1::EvaluateRequest Of(const std::string& dataset) {
    v1::EvaluateRequest request;
    request.set_dataset(dataset);
    return request;
  }

  const TempDir folder_;
  const std::string text_ = SomeText(200000);
  v1::EvaluationProgress progress_;
  v1::EvaluationResult result_;
};

TEST_F(EvaluationServiceTest, ScoresAFileAndNamesWhatItScored) {
  Start();

  ASSERT_TRUE(Run(Of("text.txt")).ok());

  EXPECT_EQ(Total(), FakeScore(*engine_, text_, 0));
  EXPECT_EQ(result_.byte_count(), 200000);
  EXPECT_EQ(result_.total_bits(), Total().bits());
  EXPECT_EQ(result_.bits_per_byte(), Total().bits() / 200000);
  EXPECT_EQ(result_.data_digest(), DigestOf(text_));
  EXPECT_EQ(result_.model_digest(), "fake");
  EXPECT_EQ(result_.numerics(), "fake");
  EXPECT_EQ(result_.protocol(), v1::EVALUATION_PROTOCOL_FULL_STREAM);
  EXPECT_EQ(result_.range().end(), 200000);
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

TEST_F(EvaluationServiceTest, ScoresInlineDataAndTheEmptyRange) {
  Start();
  v1::EvaluateRequest request;
  request.set_data("inline text");

  ASSERT_TRUE(Run(request).ok());
  EXPECT_EQ(Total(), FakeScore(*engine_, "inline text", 0));

  request.set_data("");
  ASSERT_TRUE(Run(request).ok());
  EXPECT_EQ(result_.byte_count(), 0);
  EXPECT_EQ(result_.bits_per_byte(), 0);
}

TEST_F(EvaluationServiceTest, AdjacentRangesAddToTheWhole) {
  Start();
  BitsTotal sum;
  const std::vector<int64_t> cuts = {0, 1, 31, 77777, 150000, 200000};
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    v1::EvaluateRequest request = Of("text.txt");
    request.mutable_range()->set_begin(cuts[i]);
    request.mutable_range()->set_end(cuts[i + 1]);
    ASSERT_TRUE(Run(request).ok());
    sum += Total();
  }

  EXPECT_EQ(sum, FakeScore(*engine_, text_, 0));
}

TEST_F(EvaluationServiceTest, BlocksAddToTheWhole) {
  Start();
  v1::EvaluateRequest request = Of("text.txt");
  request.set_checkpoint_spans(true);

  ASSERT_TRUE(Run(request).ok());

  ASSERT_EQ(result_.blocks_size(), 4);
  BitsTotal sum;
  int64_t byte_count = 0;
  for (const v1::BlockBits& block : result_.blocks()) {
    EXPECT_EQ(block.begin(), byte_count);
    byte_count += block.byte_count();
    sum += BitsTotal::FromHighLow(block.accumulator().high(),
                                  block.accumulator().low());
  }
  EXPECT_EQ(byte_count, 200000);
  EXPECT_EQ(sum, Total());
}

TEST_F(EvaluationServiceTest, GoesOnFromTheTokenOfABrokenRun) {
  Start();
  v1::EvaluateRequest request = Of("text.txt");
  request.set_checkpoint_spans(true);
  std::atomic<int> left{200};
  engine_->SetHook([&](int64_t) {
    return left-- == 0 ? absl::DataLossError("broken") : absl::OkStatus();
  });
  EXPECT_THAT(Run(request), Fails(StatusCode::INTERNAL, "NAN"));
  ASSERT_GT(progress_.scored_bytes(), 0);
  ASSERT_LT(progress_.scored_bytes(), 200000);

  request.set_resume_token(progress_.resume_token());
  ASSERT_TRUE(Run(request).ok());

  EXPECT_EQ(Total(), FakeScore(*engine_, text_, 0));
  EXPECT_EQ(result_.data_digest(), DigestOf(text_));
  EXPECT_EQ(result_.blocks_size(), 4);

  request.mutable_range()->set_begin(1);
  EXPECT_THAT(Run(request),
              Fails(StatusCode::FAILED_PRECONDITION, "MODEL_MISMATCH"));
}

TEST_F(EvaluationServiceTest, AByteWithoutASymbolNamesTheField) {
  folder_.Write("root/odd", "odd \xFF");
  engine_options_.symbols.pop_back();
  Start();
  v1::EvaluateRequest request;
  request.set_data("odd \xFF");

  EXPECT_THAT(Run(request), FailsField("data", "FIELD_INVALID"));
  EXPECT_THAT(Run(Of("odd")), FailsField("dataset", "FIELD_INVALID"));
}

TEST_F(EvaluationServiceTest, ADigestIsOfWhatTheFileHoldsNow) {
  Start();
  const std::string other = SomeText(4);
  ASSERT_NE(other, "more");
  folder_.Write("new", other);  // as long as the one it replaces
  std::filesystem::rename(folder_.File("new"),
                          folder_.File("root/sub/more.txt"));
  const auto digest = [this] {
    grpc::ClientContext context;
    v1::ListDatasetsResponse page;
    EXPECT_TRUE(evaluation()->ListDatasets(&context, {}, &page).ok());
    return page.datasets(0).digest();
  };

  EXPECT_EQ(digest(), "");
  EXPECT_TRUE(Run(Of("sub/more.txt")).ok());
  EXPECT_EQ(digest(), DigestOf(other));
}

TEST_F(EvaluationServiceTest, ANameThatIsNoUtf8HidesNoOther) {
  folder_.Write("root/\xFF\xFE.txt", "unreachable");
  Start();
  grpc::ClientContext context;
  v1::ListDatasetsResponse page;

  const grpc::Status status = evaluation()->ListDatasets(&context, {}, &page);

  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(page.datasets_size(), 2);
}

TEST_F(EvaluationServiceTest, AFileThatShrinksIsDataLoss) {
  Start();
  engine_->SetHook([this](int64_t) {
    std::filesystem::resize_file(folder_.File("root/text.txt"), 100);
    return absl::OkStatus();
  });

  EXPECT_THAT(Run(Of("text.txt")), Fails(StatusCode::DATA_LOSS, "CHECKSUM"));
  EXPECT_TRUE(Eventually([this] { return IsIdle(); }));
}

TEST_F(EvaluationServiceTest, NothingOutsideOfTheRootCanBeHad) {
  Start();
  for (const std::string& name :
       {std::string("../outside.txt"), std::string("sub/../../outside.txt"),
        std::string("link"), std::string("up/outside.txt"), std::string("pipe"),
        folder_.File("outside.txt"), std::string("/etc/passwd"),
        std::string("text.txt\0", 9), std::string(""), std::string("."),
        std::string("sub"), std::string("sub//more.txt"),
        std::string("missing"), std::string(100000, 'a')}) {
    EXPECT_THAT(Run(Of(name)), Fails(StatusCode::NOT_FOUND, "DATASET"))
        << name.substr(0, 40);
  }
  EXPECT_TRUE(Run(Of("sub/more.txt")).ok());
}

TEST_F(EvaluationServiceTest, ListsTheFilesPageByPage) {
  Start();
  grpc::ClientContext first, second;
  v1::ListDatasetsRequest request;
  request.set_page_size(1);
  v1::ListDatasetsResponse page;

  ASSERT_TRUE(evaluation()->ListDatasets(&first, request, &page).ok());
  ASSERT_EQ(page.datasets_size(), 1);
  EXPECT_EQ(page.datasets(0).name(), "sub/more.txt");
  EXPECT_EQ(page.datasets(0).size_bytes(), 4);
  EXPECT_EQ(page.datasets(0).digest(), DigestOf("more"));

  grpc::ClientContext other;
  v1::ListModelsRequest models_request;
  models_request.set_page_token(page.next_page_token());
  v1::ListModelsResponse models_page;
  EXPECT_THAT(models()->ListModels(&other, models_request, &models_page),
              FailsField("page_token", "FIELD_INVALID"));

  request.set_page_token(page.next_page_token());
  ASSERT_TRUE(evaluation()->ListDatasets(&second, request, &page).ok());
  ASSERT_EQ(page.datasets_size(), 1);
  EXPECT_EQ(page.datasets(0).name(), "text.txt");
  EXPECT_EQ(page.next_page_token(), "");
}

}  // namespace
}  // namespace spanlm
