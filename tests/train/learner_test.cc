// SPDX-License-Identifier: Apache-2.0
#include "train/learner.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/train/thread_group.h"
#include "tests/train/tiny_model.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Values = std::vector<float>;

constexpr int64_t kRows = 4;
constexpr int64_t kBlock = 16;
// So low that what two orders of a sum differ by does not grow in 20 updates.
constexpr double kRate = 2e-3;

std::vector<uint8_t> Text(size_t size) {
  std::vector<uint8_t> text;
  uint32_t x = 1;
  while (text.size() < size) {
    x = x * 1664525 + 1013904223;
    text.push_back(static_cast<uint8_t>(x >> 24));
  }
  return text;
}

std::unique_ptr<ByteModel> Model(ModelFields fields) {
  fields.symbols = AllBytes();
  fields.vocab_size = 256;
  auto model = NewByteModel(*ModelConfig::Create(std::move(fields)));
  model->Initialize(Initialization::kOriginal,
                    at::detail::createCPUGenerator(7));
  return model;
}

LearnerOptions Adagrad() {
  LearnerOptions options;
  options.optimizer.adagrad_clip = 0.03;
  options.aux_loss_scaler = 1e-3;
  return options;
}

Values Flat(const std::vector<NamedTensor>& tensors) {
  Values values;
  for (const NamedTensor& each : tensors) {
    const at::Tensor x = each.tensor.detach().contiguous();
    values.insert(values.end(), x.const_data_ptr<float>(),
                  x.const_data_ptr<float>() + x.numel());
  }
  return values;
}

double Furthest(const Values& a, const Values& b) {
  double furthest = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    furthest = std::max<double>(furthest, std::abs(a[i] - b[i]));
  }
  return furthest;
}

class LearnerTest : public testing::Test {
 protected:
  StreamBatcher Batcher(RowLayout layout, const ProcessGroup& group) const {
    BatchOptions options = WholeBatch(layout, kRows, kBlock);
    options.row_count = kRows / group.size();
    options.first_row = options.row_count * group.rank();
    return *StreamBatcher::Create(SymbolText(absl::MakeConstSpan(text_)),
                                  options);
  }

  // The losses of 20 updates by `processes` and the last parameters.
  std::pair<std::vector<double>, Values> Run(const LearnerOptions& options,
                                             const ModelFields& fields,
                                             RowLayout layout, int processes) {
    std::vector<double> losses;
    Values parameters;
    RunAsGroup(processes, [&](ProcessGroup* group) {
      at::set_num_threads(1);
      Learner learner(options, Model(fields), kRows / group->size(), group);
      StreamBatcher batcher = Batcher(layout, *group);
      for (int64_t update = 1; update <= 20; ++update) {
        const auto report =
            learner.Update({batcher.Next(), batcher.Next()}, kRate, update);
        ASSERT_OK(report);
        if (group->is_first()) {
          losses.push_back(report->nats / static_cast<double>(report->scored));
        }
      }
      if (group->is_first()) parameters = Flat(learner.model().parameters());
    });
    return {losses, parameters};
  }

  const std::vector<uint8_t> text_ = Text(4000);
  const std::unique_ptr<ProcessGroup> alone_ = ProcessGroup::Alone();
};

TEST_F(LearnerTest, ProcessesShareTheRowsAndLearnTheSame) {
  LearnerOptions adam;
  adam.optimizer.kind = OptimizerKind::kAdam;
  adam.optimizer.clip_norm = 0.25;
  for (const RowLayout layout : {RowLayout::kSlices, RowLayout::kBlocks}) {
    for (const auto& [options, fields] :
         {std::pair(Adagrad(), TinyAdaptiveSpan()),
          {adam, TinyTransformerXl()}}) {
      const auto one = Run(options, fields, layout, 1);
      for (const int processes : {2, 4}) {
        const auto several = Run(options, fields, layout, processes);
        for (size_t i = 0; i < one.first.size(); ++i) {
          EXPECT_NEAR(several.first[i], one.first[i], 2e-6)
              << processes << " processes, update " << i + 1;
        }
      }
    }
  }
}

// A mask that came again would be a smaller model that training fits, and that
// is not the one saved.
TEST_F(LearnerTest, DropsOthersInEachUpdateBatchAndPart) {
  at::set_num_threads(1);
  for (const ModelFields& fields : {TinyAdaptiveSpan(), TinyTransformerXl()}) {
    LearnerOptions options = Adagrad();
    options.dropout.activation = 0.5;
    StreamBatch batch = Batcher(RowLayout::kSlices, *alone_).Next();
    // All rows alike, and each time from an empty memory.
    ASSERT_TRUE(batch.starts_anew);
    for (at::Tensor* x : {&batch.tokens, &batch.targets}) {
      *x = x->narrow(0, 0, 1).expand({kRows, kBlock}).contiguous();
    }
    const auto loss = [&](int64_t update, uint64_t seed, size_t batches) {
      options.seed = seed;
      Learner learner(options, Model(fields), kRows, alone_.get());
      const auto report = learner.Update(
          std::vector<StreamBatch>(batches, batch), /*rate=*/0, update);
      EXPECT_OK(report);
      return report.ok() ? report->nats : 0;
    };
    EXPECT_EQ(loss(1, 5, 1), loss(1, 5, 1));
    EXPECT_NE(loss(1, 5, 1), loss(2, 5, 1));
    EXPECT_NE(loss(1, 5, 1), loss(1, 6, 1));
    EXPECT_NE(2 * loss(1, 5, 1), loss(1, 5, 2));
  }
}

// Two batches of an update are averaged, whatever their number.
TEST_F(LearnerTest, AnUpdateAveragesItsBatches) {
  at::set_num_threads(1);
  Learner together(Adagrad(), Model(TinyAdaptiveSpan()), kRows, alone_.get());
  Learner apart(Adagrad(), Model(TinyAdaptiveSpan()), kRows, alone_.get());
  StreamBatcher batcher = Batcher(RowLayout::kSlices, *alone_);
  const StreamBatch first = batcher.Next(), second = batcher.Next();
  ASSERT_OK(together.Update({first, second}, 0, 1));
  ASSERT_OK(apart.Update({first}, 0, 1));  // a rate of 0 moves nothing
  Values expected = Flat(apart.gradients());
  ASSERT_OK(apart.Update({second}, 0, 2));
  const Values rest = Flat(apart.gradients());
  for (size_t i = 0; i < rest.size(); ++i) {
    expected[i] = (expected[i] + rest[i]) / 2;
  }

  EXPECT_LT(Furthest(Flat(together.gradients()), expected), 1e-6);
  EXPECT_GT(Furthest(rest, expected), 1e-3) << "the batches differ";
}

TEST_F(LearnerTest, HalfKeepsRoundedParametersAndWholeMasters) {
  LearnerOptions options = Adagrad();
  options.precision = Precision::kHalf;
  Learner learner(options, Model(TinyAdaptiveSpan()), kRows, alone_.get());
  StreamBatcher batcher = Batcher(RowLayout::kBlocks, *alone_);
  const Values before = Flat(learner.optimizer().parameters());
  ASSERT_OK(learner.Update({batcher.Next()}, 1e-4, 1));

  const Values masters = Flat(learner.optimizer().parameters());
  const Values parameters = Flat(learner.model().parameters());
  int64_t kept = 0;
  for (size_t i = 0; i < masters.size(); ++i) {
    EXPECT_EQ(parameters[i], static_cast<float>(c10::Half(masters[i])));
    kept += masters[i] != parameters[i] ? 1 : 0;
  }
  EXPECT_GT(kept, static_cast<int64_t>(masters.size()) / 2);
  EXPECT_GT(Furthest(before, masters), 0);
}

TEST_F(LearnerTest, HalfLearnsNearlyWhatFullDoes) {
  LearnerOptions options = Adagrad();
  const auto full =
      Run(options, TinyAdaptiveSpan(), RowLayout::kBlocks, 1).first;
  options.precision = Precision::kHalf;
  const auto half =
      Run(options, TinyAdaptiveSpan(), RowLayout::kBlocks, 1).first;
  for (size_t i = 0; i < full.size(); ++i) {
    EXPECT_NEAR(half[i], full[i], 0.02) << "update " << i + 1;
  }
  EXPECT_NE(half, full);
}

TEST_F(LearnerTest, AnOverflowMovesNothingAndHalvesTheScale) {
  LearnerOptions options = Adagrad();
  options.precision = Precision::kHalf;
  options.scaler.initial_scale = std::ldexp(1, 40);
  Learner learner(options, Model(TinyAdaptiveSpan()), kRows, alone_.get());
  StreamBatcher batcher = Batcher(RowLayout::kBlocks, *alone_);
  const Values before = Flat(learner.optimizer().parameters());

  ASSERT_OK_AND_ASSIGN(const UpdateReport report,
                       learner.Update({batcher.Next()}, 0.1, 1));

  EXPECT_TRUE(report.overflowed);
  EXPECT_EQ(Flat(learner.optimizer().parameters()), before);
  EXPECT_EQ(learner.scaler().scale(), std::ldexp(1, 39));
  EXPECT_EQ(learner.optimizer().step_count(), 0);
}

TEST_F(LearnerTest, AnOverflowAtTheLowestScaleNamesTheTensor) {
  LearnerOptions options = Adagrad();
  options.precision = Precision::kHalf;
  options.scaler.initial_scale = std::ldexp(1, 40);
  options.scaler.min_scale = std::ldexp(1, 39);
  Learner learner(options, Model(TinyAdaptiveSpan()), kRows, alone_.get());
  StreamBatcher batcher = Batcher(RowLayout::kBlocks, *alone_);

  EXPECT_THAT(learner.Update({batcher.Next()}, 0.1, 1),
              StatusIs(absl::StatusCode::kInternal,
                       AllOf(HasSubstr("the gradient's norm of "),
                             HasSubstr("loss scale"))));
}

TEST_F(LearnerTest, NamesTheParameterThatMadeALossNotFinite) {
  Learner learner(Adagrad(), Model(TinyAdaptiveSpan()), kRows, alone_.get());
  StreamBatcher batcher = Batcher(RowLayout::kSlices, *alone_);
  {
    at::NoGradGuard no_grad;
    at::Tensor bias = learner.mutable_model()->parameters()[3].tensor;
    ASSERT_EQ(learner.mutable_model()->parameters()[3].name, "out_emb.bias");
    bias[0] = std::numeric_limits<float>::quiet_NaN();
  }
  const Values before = Flat(learner.optimizer().State());

  EXPECT_THAT(learner.Update({batcher.Next()}, 0.1, 12),
              StatusIs(absl::StatusCode::kInternal,
                       AllOf(HasSubstr("update 12"), HasSubstr("loss is nan"),
                             HasSubstr("value, nan, is in out_emb.bias"))));
  EXPECT_EQ(Flat(learner.optimizer().State()), before);
}

// fairseq clamps what the pass uses: in half the master goes on below 0.
TEST_F(LearnerTest, SpansAreClampedAfterTheStepOrBeforeThePass) {
  for (const Precision precision : {Precision::kFull, Precision::kHalf}) {
    for (const SpanClamp clamp :
         {SpanClamp::kAfterStep, SpanClamp::kBeforeForward}) {
      LearnerOptions options = Adagrad();
      options.precision = precision;
      options.span_clamp = clamp;
      options.aux_loss_scaler = 10;  // shrinks every span
      options.optimizer.adagrad_clip = 0;
      Learner learner(options, Model(TinyAdaptiveSpan()), kRows, alone_.get());
      StreamBatcher batcher = Batcher(RowLayout::kBlocks, *alone_);
      for (int64_t update = 1; update <= 3; ++update) {
        ASSERT_OK(learner.Update({batcher.Next()}, 0.02, update));
      }
      const at::Tensor master = learner.optimizer().parameters()[4].tensor;
      const float least = master.min().item<float>();
      if (clamp == SpanClamp::kAfterStep) {
        EXPECT_EQ(least, 0);
      } else {
        EXPECT_LT(least, 0);
        // In half it is never put back; in full the pass before did so.
        EXPECT_EQ(least < -0.03F, precision == Precision::kHalf) << least;
      }
    }
  }
}

}  // namespace
}  // namespace spanlm
