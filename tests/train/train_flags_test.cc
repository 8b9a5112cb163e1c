// SPDX-License-Identifier: Apache-2.0
#include "train/commands/train_flags.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What a command line, split at blanks, becomes.
class TrainFlagsTest : public ::testing::Test {
 protected:
  absl::StatusOr<TrainOptions> Parse(const std::string& line) {
    flags_ = TrainFlags();
    CLI::App app;
    AddTrainFlags(&app, &flags_);
    std::vector<std::string> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    std::reverse(words.begin(), words.end());
    try {
      app.parse(words);
    } catch (const CLI::ParseError& error) {
      return absl::InvalidArgumentError(error.what());
    }
    return ResolveTrainFlags(flags_);
  }

  TrainFlags flags_;
};

// fairseq's README, examples/adaptive_span.
TEST_F(TrainFlagsTest, TakesFairseqsAdaptiveSpanCommandUnchanged) {
  ASSERT_OK_AND_ASSIGN(
      const TrainOptions options,
      Parse("--user-dir examples/adaptive_span --data enwik8/data-bin/ --fp16 "
            "--fp16-no-flatten-grads --max-update 600000 --task "
            "truncated_bptt_lm --tokens-per-sample 512 --arch adaptive_span "
            "--n-layer 12 --d-model 512 --n-head 8 --d-inner 2048 --dropout "
            "0.3 --attn-span 8192 --optimizer adagrad_with_grad_clip "
            "--adagrad-clip 0.03 --validate-interval-updates 1000 "
            "--lr-scheduler fixed --warmup-updates 32000 --batch-size-valid 32 "
            "--lr 0.07 --criterion adaptive_span_loss --batch-size 16 "
            "--update-freq 1 --seed 2 --log-format json --log-interval 25 "
            "--aux-loss-scaler 5e-07"));

  EXPECT_OK(CheckTrainOptions(options));
  EXPECT_EQ(options.data, "enwik8/data-bin/");
  EXPECT_EQ(options.precision, Precision::kHalf);
  EXPECT_EQ(options.model.architecture, Architecture::kAdaptiveSpan);
  EXPECT_EQ(options.model.d_head, 64);
  EXPECT_EQ(options.model.attn_span, 8192);
  EXPECT_EQ(options.optimizer.adagrad_clip, 0.03);
  EXPECT_EQ(options.schedule.warmup_updates, 32000);
  EXPECT_EQ(options.schedule.lr, 0.07);
  EXPECT_EQ(options.schedule.max_update, 600000);
  EXPECT_EQ(options.dropout.activation, 0.3);
  EXPECT_EQ(options.aux_loss_scaler, 5e-7);
  EXPECT_EQ(options.validate_interval_updates, 1000);
  // Each of them said to be without effect.
  EXPECT_THAT(
      flags_.without_effect,
      ElementsAre(HasSubstr("--user-dir"), HasSubstr("--batch-size-valid"),
                  HasSubstr("--fp16-no-flatten-grads")));
}

// fairseq's README, examples/truncated_bptt.
TEST_F(TrainFlagsTest, TakesFairseqsTransformerXlCommandUnchanged) {
  ASSERT_OK_AND_ASSIGN(
      const TrainOptions options,
      Parse("--user-dir examples/truncated_bptt enwik8/data-bin/ --task "
            "truncated_bptt_lm --fp16 --max-update 400000 --tokens-per-sample "
            "512 --arch transformer_xl --n-layer 12 --d-model 512 --n-head 8 "
            "--d-head 64 --d-inner 2048 --dropout 0.1 --dropatt 0.0 --mem-len "
            "512 --optimizer adam --clip-norm 0.25 --lr-scheduler cosine "
            "--warmup-updates 0 --lr 0.0 --lr 0.00025 --batch-size 15 "
            "--update-freq 1 --seed 2 --log-format json --log-interval 25 "
            "--fp16"));

  EXPECT_OK(CheckTrainOptions(options));
  EXPECT_EQ(options.data, "enwik8/data-bin/");
  EXPECT_EQ(options.model.architecture, Architecture::kTransformerXl);
  EXPECT_EQ(options.model.mem_len, 512);
  EXPECT_EQ(options.schedule.lr, 0.00025) << "the last of two";
  EXPECT_EQ(options.schedule.scheduler, LrScheduler::kCosine);
  EXPECT_EQ(options.optimizer.kind, OptimizerKind::kAdam);
  EXPECT_EQ(options.optimizer.clip_norm, 0.25);
  EXPECT_EQ(options.precision, Precision::kHalf);
}

TEST_F(TrainFlagsTest, SemanticsSetEveryPoint) {
  ASSERT_OK_AND_ASSIGN(const TrainOptions original, Parse("D"));
  EXPECT_TRUE(original.model.renormalize);
  EXPECT_EQ(original.semantics.layout, RowLayout::kSlices);
  EXPECT_FALSE(original.semantics.shares_memory);
  EXPECT_FALSE(original.semantics.rounds_mask_template);
  EXPECT_FALSE(original.semantics.fairseq_losses);
  EXPECT_EQ(original.semantics.initialization, Initialization::kOriginal);
  EXPECT_EQ(original.semantics.adam_eps, AdamEps::kAfterCorrection);

  ASSERT_OK_AND_ASSIGN(const TrainOptions fairseq,
                       Parse("D --semantics fairseq"));
  EXPECT_FALSE(fairseq.model.renormalize);
  EXPECT_EQ(fairseq.semantics.layout, RowLayout::kBlocks);
  EXPECT_TRUE(fairseq.semantics.shares_memory);
  EXPECT_TRUE(fairseq.semantics.rounds_mask_template);
  EXPECT_TRUE(fairseq.semantics.fairseq_losses);
  EXPECT_EQ(fairseq.semantics.initialization, Initialization::kFairseq);
  EXPECT_EQ(fairseq.semantics.adam_eps, AdamEps::kBeforeCorrection);
  // The drift of fairseq's spans is had by asking for it only.
  EXPECT_EQ(fairseq.semantics.span_clamp, SpanClamp::kAfterStep);
}

TEST_F(TrainFlagsTest, SemanticsOfTransformerXlAreItsModelsToo) {
  ASSERT_OK_AND_ASSIGN(const TrainOptions original,
                       Parse("D --arch transformer_xl"));
  EXPECT_TRUE(original.model.tie_biases);
  EXPECT_EQ(original.model.memory_start, MemoryStart::kEmpty);
  ASSERT_OK_AND_ASSIGN(const TrainOptions fairseq,
                       Parse("D --arch transformer_xl --semantics fairseq"));
  EXPECT_FALSE(fairseq.model.tie_biases);
  EXPECT_EQ(fairseq.model.memory_start, MemoryStart::kZero);
}

TEST_F(TrainFlagsTest, AFlagOfItsOwnBeatsTheSemantics) {
  ASSERT_OK_AND_ASSIGN(
      const TrainOptions options,
      Parse("D --semantics fairseq --block-ends scored --validation-memory own "
            "--mask renormalized --mask-template exact --span-clamp forward "
            "--initialization original --adam-eps-place after --log-losses "
            "scored"));
  EXPECT_TRUE(options.model.renormalize);
  EXPECT_EQ(options.semantics.layout, RowLayout::kSlices);
  EXPECT_FALSE(options.semantics.shares_memory);
  EXPECT_FALSE(options.semantics.rounds_mask_template);
  EXPECT_FALSE(options.semantics.fairseq_losses);
  EXPECT_EQ(options.semantics.initialization, Initialization::kOriginal);
  EXPECT_EQ(options.semantics.adam_eps, AdamEps::kAfterCorrection);
  EXPECT_EQ(options.semantics.span_clamp, SpanClamp::kBeforeForward);
  ASSERT_OK_AND_ASSIGN(const TrainOptions biases,
                       Parse("D --arch transformer_xl --biases per-layer "
                             "--memory-start zero"));
  EXPECT_FALSE(biases.model.tie_biases);
  EXPECT_EQ(biases.model.memory_start, MemoryStart::kZero);
}

TEST_F(TrainFlagsTest, RefusesFlagsThatContradictEachOtherAndNamesThem) {
  for (const auto& [line, message] :
       {std::pair("D --fp16 --bf16", "--bf16"),
        {"D --criterion cross_entropy", "want adaptive_span_loss"},
        {"D --n-head 3", "want a divisor of --d-model 256"},
        {"D --d-head 3", "--d-head is 3"},
        {"D --adam-betas 0.9", "--adam-betas is 0.9"},
        {"D --mask plane", "--mask"},
        {"D --task lm", "--task"}}) {
    EXPECT_THAT(Parse(line), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr(message)))
        << line;
  }
}

TEST_F(TrainFlagsTest, BoundsAreCheckedByName) {
  for (const auto& [line, message] :
       {std::pair("D --update-freq 0", "--update-freq is 0"),
        {"D --threads 30000", "--threads is 30000, want at most 1024"},
        {"D --keep-last-epochs -2", "--keep-last-epochs is -2"},
        {"D --patience -1", "--patience is -1"},
        {"D --fp16-init-scale inf", "--fp16-init-scale is inf"},
        {"D --min-loss-scale 0", "--min-loss-scale is 0"},
        {"D --tokens-per-sample 1 --block-ends unscored",
         "--tokens-per-sample is 1, want at least 2"},
        {"D --save-interval 0", "--save-interval is 0"}}) {
    ASSERT_OK_AND_ASSIGN(const TrainOptions options, Parse(line));
    EXPECT_THAT(
        CheckTrainOptions(options),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << line;
  }
}

}  // namespace
}  // namespace spanlm
