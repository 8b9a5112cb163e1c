// SPDX-License-Identifier: Apache-2.0
#include "train/gradient_buckets.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spanlm {
namespace {

using ::testing::ElementsAre;

// As large as a bucket, so that each parameter has one of its own.
constexpr int64_t kSize = int64_t{1} << 20;

// One of two equal processes: a sum is twice what it brings. Says what begins
// when, by the first element.
class TwinGroup : public ProcessGroup {
 public:
  explicit TwinGroup(std::vector<std::string>* events)
      : ProcessGroup(at::kCPU), events_(events) {}

  int rank() const override { return 0; }
  int size() const override { return 2; }
  std::function<void()> StartSum(const at::Tensor& tensor) override {
    events_->push_back(absl::StrCat("sum of ", tensor[0].item<float>()));
    return [this, tensor] {
      events_->push_back("wait");
      at::Tensor(tensor).mul_(2);
    };
  }
  void TakeFirst(const std::vector<at::Tensor>& /*tensors*/) override {}
  at::Tensor Stack(const at::Tensor& tensor) override { return tensor; }

 private:
  std::vector<std::string>* const events_;
};

class GradientBucketsTest : public ::testing::Test {
 protected:
  GradientBucketsTest() {
    for (const char* name : {"first", "second"}) {
      const at::Tensor weights = at::ones({kSize}).set_requires_grad(true);
      weights.register_hook([this, name](const at::Tensor& /*gradient*/) {
        TORCH_CHECK(!fails_ || name == std::string("second"), "as told");
        events_.push_back(name);
      });
      parameters_.push_back({name, weights});
    }
  }

  // A layer for each parameter: of the last one the gradient comes first.
  at::Tensor Loss(float x) const {
    return ((parameters_[0].tensor * x + 1) * parameters_[1].tensor).sum();
  }
  // The first element of each gradient; all are equal.
  static std::vector<float> Values(const GradientBuckets& buckets) {
    std::vector<float> values;
    for (const at::Tensor& gradient : buckets.gradients()) {
      EXPECT_TRUE(gradient.eq(gradient[0]).all().item<bool>());
      values.push_back(gradient[0].item<float>());
    }
    return values;
  }

  std::vector<std::string> events_;
  bool fails_ = false;  // the first layer's backward pass
  TwinGroup group_{&events_};
  std::vector<NamedTensor> parameters_;
};

TEST_F(GradientBucketsTest, ABucketLeavesWhileTheBackwardPassGoesOn) {
  GradientBuckets buckets(parameters_, 1, false, &group_);

  buckets.BeginBatch(true, true);
  buckets.Backward(0, Loss(4));
  buckets.EndBatch();

  EXPECT_THAT(events_, ElementsAre("second", "sum of 5", "first", "sum of 4",
                                   "wait", "wait"));
  EXPECT_THAT(Values(buckets), ElementsAre(8, 10));
}

// Processes whose gradients come in another order must not sum other buckets.
TEST_F(GradientBucketsTest, BucketsLeaveInOneOrder) {
  GradientBuckets buckets(parameters_, 1, false, &group_);

  buckets.BeginBatch(true, true);
  buckets.Backward(
      0, ((parameters_[1].tensor * 4 + 1) * parameters_[0].tensor).sum());
  buckets.EndBatch();

  EXPECT_THAT(events_, ElementsAre("first", "second", "sum of 4", "sum of 5",
                                   "wait", "wait"));
}

TEST_F(GradientBucketsTest, OnlyTheLastBatchIsExchanged) {
  GradientBuckets buckets(parameters_, 1, false, &group_);

  buckets.BeginBatch(true, false);
  buckets.Backward(0, Loss(4));
  buckets.EndBatch();

  EXPECT_THAT(events_, ElementsAre("second", "first"));
  EXPECT_THAT(Values(buckets), ElementsAre(4, 5));

  buckets.BeginBatch(false, true);
  buckets.Backward(0, Loss(6));
  buckets.EndBatch();

  EXPECT_THAT(Values(buckets), ElementsAre(2 * (4 + 6), 2 * (5 + 7)));
}

TEST_F(GradientBucketsTest, PartsAreAddedInTheirOrderWhoeverIsFirst) {
  const std::unique_ptr<ProcessGroup> alone = ProcessGroup::Alone();
  GradientBuckets buckets(parameters_, 3, false, alone.get());

  buckets.BeginBatch(true, true);
  buckets.Backward(2, Loss(-1e8));
  buckets.Backward(0, Loss(1e8));
  EXPECT_THAT(Values(buckets), ElementsAre(0, 0)) << "a part is missing";
  buckets.Backward(1, Loss(1));
  buckets.EndBatch();

  // As they came, it would be 1.
  EXPECT_EQ(Values(buckets)[0], (1e8F + 1.0F) - 1e8F);
}

TEST_F(GradientBucketsTest, EachBatchIsRoundedToHalfWhereAsked) {
  const std::unique_ptr<ProcessGroup> alone = ProcessGroup::Alone();
  GradientBuckets buckets(parameters_, 2, true, alone.get());

  for (const bool is_first : {true, false}) {
    buckets.BeginBatch(is_first, !is_first);
    buckets.Backward(0, Loss(2048));
    buckets.Backward(1, Loss(0.75));  // 2048.75 is no half
    buckets.EndBatch();
  }

  EXPECT_EQ(Values(buckets)[0], 2 * 2048);
}

TEST_F(GradientBucketsTest, AParameterThatNoLossDependsOnHasZeros) {
  GradientBuckets buckets(parameters_, 2, false, &group_);
  buckets.BeginBatch(true, true);
  buckets.Backward(0, Loss(4));
  buckets.Backward(1, Loss(4));
  buckets.EndBatch();
  events_.clear();

  buckets.BeginBatch(true, true);
  buckets.Backward(0, (parameters_[0].tensor * 4).sum());
  buckets.Backward(1, (parameters_[0].tensor * 2).sum());
  buckets.EndBatch();

  EXPECT_THAT(events_, ElementsAre("first", "first", "sum of 0", "sum of 6",
                                   "wait", "wait"));
  EXPECT_THAT(Values(buckets), ElementsAre(12, 0));
}

TEST_F(GradientBucketsTest, AfterAPassThatThrewTheNextUpdateIsWhole) {
  GradientBuckets buckets(parameters_, 1, false, &group_);
  fails_ = true;
  buckets.BeginBatch(true, true);
  EXPECT_THROW(buckets.Backward(0, Loss(4)), c10::Error);
  EXPECT_THAT(events_, ElementsAre("second", "sum of 5"));
  fails_ = false;
  events_.clear();

  buckets.BeginBatch(true, true);
  EXPECT_THAT(events_, ElementsAre("wait")) << "for what was on its way";
  buckets.Backward(0, Loss(2));
  buckets.EndBatch();

  EXPECT_THAT(Values(buckets), ElementsAre(4, 6));
}

TEST_F(GradientBucketsTest, PassesOfOthersChangeNothing) {
  {
    GradientBuckets buckets(parameters_, 1, false, &group_);
    Loss(4).backward();
    EXPECT_THAT(Values(buckets), ElementsAre(0, 0));
  }
  events_.clear();
  Loss(4).backward();  // its hooks are gone
  EXPECT_THAT(events_, ElementsAre("second", "first"));
}

}  // namespace
}  // namespace spanlm
