// SPDX-License-Identifier: Apache-2.0
// The five commands of the published recipe, as they stand in fairseq's READMEs
// after the program's name, but for --max-update: on a small text, one update
// of the models in their full size.
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/child_process.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

constexpr char kPreprocess[] =
    "preprocess --only-source --trainpref enwik8/train.txt --validpref "
    "enwik8/valid.txt --testpref enwik8/test.txt --destdir enwik8/data-bin/ "
    "--joined-dictionary --workers 20";
constexpr char kTrainAdaptiveSpan[] =
    "train --user-dir examples/adaptive_span --data enwik8/data-bin/ --fp16 "
    "--fp16-no-flatten-grads --max-update 1 --task truncated_bptt_lm "
    "--tokens-per-sample 512 --arch adaptive_span --n-layer 12 --d-model 512 "
    "--n-head 8 --d-inner 2048 --dropout 0.3 --attn-span 8192 --optimizer "
    "adagrad_with_grad_clip --adagrad-clip 0.03 --validate-interval-updates "
    "1000 --lr-scheduler fixed --warmup-updates 32000 --batch-size-valid 32 "
    "--lr 0.07 --criterion adaptive_span_loss --batch-size 16 --update-freq 1 "
    "--seed 2 --log-format json --log-interval 25 --aux-loss-scaler 5e-07";
constexpr char kTrainTransformerXl[] =
    "train --user-dir examples/truncated_bptt enwik8/data-bin/ --task "
    "truncated_bptt_lm --fp16 --max-update 1 --tokens-per-sample 512 --arch "
    "transformer_xl --n-layer 12 --d-model 512 --n-head 8 --d-head 64 "
    "--d-inner 2048 --dropout 0.1 --dropatt 0.0 --mem-len 512 --optimizer adam "
    "--clip-norm 0.25 --lr-scheduler cosine --warmup-updates 0 --lr 0.0 --lr "
    "0.00025 --batch-size 15 --update-freq 1 --seed 2 --log-format json "
    "--log-interval 25 --fp16";
constexpr char kEvaluateAdaptiveSpan[] =
    "eval-lm enwik8/data-bin/ --path model/checkpoint_best.pt --user-dir "
    "examples/adaptive_span --task truncated_bptt_lm --batch-size 8 "
    "--tokens-per-sample 512 --gen-subset test";
// Its dict literal holds no blank.
constexpr char kEvaluateTransformerXl[] =
    "eval-lm enwik8/data-bin/ --path model/checkpoint_best.pt --user-dir "
    "examples/truncated_bptt/ --task truncated_bptt_lm --batch-size 8 "
    "--tokens-per-sample 80 --model-overrides "
    R"({"mem_len":2100,"clamp_len":820,"same_length":True} --gen-subset valid)";

class RecipeCommandsTest : public ::testing::Test {
 protected:
  // Works in a folder of its own, as the commands name their files from there.
  void SetUp() override {
    before_ = std::filesystem::current_path();
    std::filesystem::current_path(folder_.File(""));
    std::string text;
    for (int i = 0; i < 30000; ++i) {
      text += static_cast<char>(32 + i * i % 90);
      if (i % 61 == 0) text += '\n';
    }
    folder_.Write("raw", text);
    const Outcome outcome =
        Run("preprocess --raw raw --destdir enwik8 --as-decimal --split "
            "20000,5000,5000");
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const Outcome binary = Run(kPreprocess);
    ASSERT_EQ(binary.exit_code, 0) << binary.err;
    // Where the commands save, and where they look.
    std::filesystem::create_directory_symlink("checkpoints", "model");
  }
  void TearDown() override { std::filesystem::current_path(before_); }

  static Outcome Run(const std::string& command) {
    return RunProgram("spanlm-train",
                      absl::StrSplit(command, ' ', absl::SkipEmpty()));
  }

  const TempDir folder_;
  std::filesystem::path before_;
};

TEST_F(RecipeCommandsTest, AdaptiveSpan) {
  const Outcome train = Run(kTrainAdaptiveSpan);
  ASSERT_EQ(train.exit_code, 0) << train.err;
  EXPECT_THAT(train.err, AllOf(HasSubstr("without effect: --user-dir"),
                               HasSubstr("--fp16-no-flatten-grads"),
                               HasSubstr("--batch-size-valid")));
  EXPECT_THAT(train.out, HasSubstr("\"train_num_updates\": \"1\""));

  const Outcome evaluate = Run(kEvaluateAdaptiveSpan);
  ASSERT_EQ(evaluate.exit_code, 0) << evaluate.err;
  EXPECT_THAT(evaluate.err, HasSubstr("without effect: --user-dir"));
  EXPECT_THAT(evaluate.out,
              AllOf(ContainsRegex("Evaluated [0-9,]+ tokens in "),
                    ContainsRegex("Loss \\(base 2\\): [0-9.]+, Perplexity")));
}

TEST_F(RecipeCommandsTest, TransformerXl) {
  const Outcome train = Run(kTrainTransformerXl);
  ASSERT_EQ(train.exit_code, 0) << train.err;
  EXPECT_THAT(train.out, HasSubstr("\"train_lr\": "));

  const Outcome evaluate = Run(kEvaluateTransformerXl);
  ASSERT_EQ(evaluate.exit_code, 0) << evaluate.err;
  EXPECT_THAT(evaluate.out,
              ContainsRegex("Loss \\(base 2\\): [0-9.]+, Perplexity"));
}

}  // namespace
}  // namespace spanlm
