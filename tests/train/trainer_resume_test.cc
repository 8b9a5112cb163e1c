// SPDX-License-Identifier: Apache-2.0
// A run that was cut anywhere goes on as if it had not been; a run that is not
// the one that was cut is refused.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/digest.h"
#include "engine/checkpoint/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/train/tiny_model.h"
#include "tests/train/tiny_run.h"
#include "train/trainer.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kUpdates = 13;
constexpr int kUpdatesOfAPass = 5;

using MakeRun = TrainOptions (*)(const std::string&, const std::string&);

struct ResumeCase {
  std::string name;
  MakeRun make;
  Precision precision = Precision::kFull;
  SemanticsKind semantics = SemanticsKind::kOriginal;
  int32_t update_freq = 1;
};

void PrintTo(const ResumeCase& each, std::ostream* os) { *os << each.name; }

class TrainerResumeTest : public testing::TestWithParam<ResumeCase> {
 protected:
  TrainerResumeTest()
      : data_(WriteCorpus(
            folder_, RandomText(4 * (16 * kUpdatesOfAPass + 15), 1), "")) {}

  TrainOptions Options(const std::string& save_dir) const {
    TrainOptions options = GetParam().make(data_, folder_.File(save_dir));
    options.precision = GetParam().precision;
    options.semantics_kind = GetParam().semantics;
    options.semantics = SemanticsOf(GetParam().semantics);
    options.update_freq = GetParam().update_freq;
    options.threads = 2;
    return options;
  }

  // Trains until `until` updates are done, saves, and appends each loss.
  void Train(const std::string& save_dir, int until,
             std::vector<double>* losses) {
    ASSERT_OK_AND_ASSIGN(
        const auto trainer,
        Trainer::Create(Options(save_dir), &stop_, group_.get()));
    ASSERT_EQ(trainer->progress().update, static_cast<int64_t>(losses->size()));
    while (trainer->progress().update < until) {
      ASSERT_OK_AND_ASSIGN(const UpdateReport report, trainer->Update());
      losses->push_back(report.nats);
    }
    ASSERT_OK(trainer->Save("checkpoint_last"));
  }

  std::string Saved(const std::string& save_dir, const char* file) const {
    return ReadFile(
        folder_.File(absl::StrCat(save_dir, "/checkpoint_last/", file)));
  }

  const TempDir folder_;
  const std::string data_;
  const std::atomic<bool> stop_{false};
  const std::unique_ptr<ProcessGroup> group_ = ProcessGroup::Alone();
};

TEST_P(TrainerResumeTest, IsEqualToTheBitWhereverItIsCut) {
  std::vector<double> expected;
  ASSERT_NO_FATAL_FAILURE(Train("whole", kUpdates, &expected));
  const std::vector<std::vector<int>> cuts = {
      {1}, {kUpdatesOfAPass}, {kUpdatesOfAPass + 1}, {3, 7, 12}};
  for (size_t i = 0; i < cuts.size(); ++i) {
    SCOPED_TRACE(testing::PrintToString(cuts[i]));
    const std::string save_dir = absl::StrCat("cut", i);
    std::vector<double> losses;
    for (const int cut : cuts[i]) {
      ASSERT_NO_FATAL_FAILURE(Train(save_dir, cut, &losses));
    }
    ASSERT_NO_FATAL_FAILURE(Train(save_dir, kUpdates, &losses));

    EXPECT_EQ(losses, expected);
    // Every parameter; every tensor of the optimizer and of the memory.
    for (const char* file :
         {"config.json", "model.safetensors", "training.safetensors"}) {
      EXPECT_FALSE(Saved(save_dir, file).empty()) << file;
      EXPECT_TRUE(Saved(save_dir, file) == Saved("whole", file)) << file;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, TrainerResumeTest,
    testing::Values(
        ResumeCase{"adaptive_span_adagrad", &AdaptiveSpanRun},
        ResumeCase{"transformer_xl_adam_cosine", &TransformerXlRun},
        ResumeCase{"adaptive_span_bf16", &AdaptiveSpanRun, Precision::kBf16},
        ResumeCase{"adaptive_span_fp16_fairseq", &AdaptiveSpanRun,
                   Precision::kHalf, SemanticsKind::kFairseq},
        ResumeCase{"transformer_xl_fairseq_two_batches", &TransformerXlRun,
                   Precision::kFull, SemanticsKind::kFairseq, 2}),
    [](const auto& info) { return info.param.name; });

class TrainerRestoreTest : public testing::Test {
 protected:
  TrainerRestoreTest()
      : options_(AdaptiveSpanRun(WriteCorpus(folder_, RandomText(400, 1), ""),
                                 folder_.File("run"))) {}

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(const auto trainer,
                         Trainer::Create(options_, &stop_, group_.get()));
    ASSERT_OK(trainer->Update());
    ASSERT_OK(trainer->Save("checkpoint_last"));
  }

  absl::Status Restore(const std::function<void(TrainOptions*)>& change) {
    TrainOptions options = options_;
    change(&options);
    return Trainer::Create(options, &stop_, group_.get()).status();
  }
  absl::Status Restore() {
    return Restore([](TrainOptions*) {});
  }
  std::string Path(const std::string& file) const {
    return "run/checkpoint_last/" + file;
  }
  // Puts another value into training.json.
  void SetProgress(const std::string& key, const nlohmann::json& value) {
    nlohmann::json json =
        nlohmann::json::parse(ReadFile(folder_.File(Path("training.json"))));
    json[key] = value;
    folder_.Write(Path("training.json"), json.dump());
  }

  const TempDir folder_;
  const std::atomic<bool> stop_{false};
  const std::unique_ptr<ProcessGroup> group_ = ProcessGroup::Alone();
  TrainOptions options_;
};

TEST_F(TrainerRestoreTest, RefusesWhatMustNotChangeByName) {
  const struct {
    const char* name;
    std::function<void(TrainOptions*)> change;
  } cases[] = {
      {"tokens_per_sample was 16 and is now 8",
       [](TrainOptions* o) { o->tokens_per_sample = 8; }},
      {"rows was 4 and is now 2", [](TrainOptions* o) { o->batch_size = 2; }},
      {"seed was 3 and is now 4", [](TrainOptions* o) { o->seed = 4; }},
      {R"(optimizer was "adagrad_with_grad_clip" and is now "adam")",
       [](TrainOptions* o) {
         o->optimizer = {};
         o->optimizer.kind = OptimizerKind::kAdam;
       }},
      {R"(precision was "fp32" and is now "bf16")",
       [](TrainOptions* o) { o->precision = Precision::kBf16; }},
      {"another model than the flags describe",
       [](TrainOptions* o) { o->model.d_inner = 32; }},
      {R"(semantics was "original" and is now "fairseq")",
       [](TrainOptions* o) { o->semantics_kind = SemanticsKind::kFairseq; }},
      {R"(block_ends was "scored" and is now "unscored")",
       [](TrainOptions* o) { o->semantics.layout = RowLayout::kBlocks; }},
      {R"(validation_memory was "own" and is now "shared")",
       [](TrainOptions* o) { o->semantics.shares_memory = true; }},
      {R"(span_clamp was "step" and is now "forward")",
       [](TrainOptions* o) {
         o->semantics.span_clamp = SpanClamp::kBeforeForward;
       }},
      {R"(mask_template was "exact" and is now "half")",
       [](TrainOptions* o) { o->semantics.rounds_mask_template = true; }},
      {R"(adam_eps_place was "after" and is now "before")",
       [](TrainOptions* o) {
         o->semantics.adam_eps = AdamEps::kBeforeCorrection;
       }},
      {"update_freq was 1 and is now 3",
       [](TrainOptions* o) { o->update_freq = 3; }},
      {"another model than the flags describe",
       [](TrainOptions* o) { o->model.attn_span = 256; }},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(
        Restore(c.change),
        StatusIs(absl::StatusCode::kFailedPrecondition,
                 AllOf(HasSubstr("checkpoint_last"), HasSubstr(c.name))));
  }
}

TEST_F(TrainerRestoreTest, RefusesAnotherText) {
  std::string text = RandomText(400, 1);
  text[200] ^= 1;
  WriteCorpus(folder_, text, "");

  EXPECT_THAT(Restore(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("text was")));
}

TEST_F(TrainerRestoreTest, StartsANewRunWithTheWeightsOfAnother) {
  ASSERT_OK_AND_ASSIGN(const auto first,
                       Trainer::Create(options_, &stop_, group_.get()));
  for (const Precision precision : {Precision::kFull, Precision::kHalf}) {
    TrainOptions options = options_;
    options.save_dir = folder_.File("tuned");
    options.finetune_from_model = folder_.File("run/checkpoint_last");
    options.precision = precision;
    ASSERT_OK_AND_ASSIGN(const auto tuned,
                         Trainer::Create(options, &stop_, group_.get()));

    EXPECT_EQ(tuned->progress().update, 0);
    EXPECT_EQ(tuned->learner().optimizer().step_count(), 0);
    const auto& masters = tuned->learner().optimizer().parameters();
    for (size_t i = 0; i < masters.size(); ++i) {
      EXPECT_TRUE(
          masters[i].tensor.equal(first->model().parameters()[i].tensor))
          << masters[i].name;
    }
  }
  TrainOptions options = options_;
  options.save_dir = folder_.File("none");
  options.finetune_from_model = "nowhere";
  EXPECT_THAT(Trainer::Create(options, &stop_, group_.get()),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("--finetune-from-model nowhere")));
}

TEST_F(TrainerRestoreTest, TakesWhatMayChange) {
  EXPECT_OK(Restore([](TrainOptions* o) {
    o->schedule.lr = 0.01;
    o->schedule.max_update = 5;
    o->dropout.activation = 0;
    o->log_interval = 7;
  }));
}

TEST_F(TrainerRestoreTest, FindsADirectoryByPathAndByFairseqsName) {
  TrainOptions options = options_;
  options.save_dir = folder_.File("elsewhere");
  options.restore_file = folder_.File("run/checkpoint_last.pt");

  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  EXPECT_EQ(trainer->progress().update, 1);
}

TEST_F(TrainerRestoreTest, StartsAnewOnlyWhereNothingWasAskedFor) {
  TrainOptions options = options_;
  options.save_dir = folder_.File("new");
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));
  EXPECT_EQ(trainer->progress().update, 0);
  options.restore_file = "checkpoint_last.pt";
  EXPECT_OK(Trainer::Create(options, &stop_, group_.get()));

  options.restore_file = "checkpoint7";
  EXPECT_THAT(Trainer::Create(options, &stop_, group_.get()),
              StatusIs(absl::StatusCode::kNotFound,
                       "--restore-file checkpoint7: no such directory"));
}

TEST_F(TrainerRestoreTest, RefusesAModelWithoutTrainingState) {
  ASSERT_OK(WriteTinyModel(TinyAdaptiveSpan(), 1, folder_.File("model")));

  EXPECT_THAT(Restore([&](TrainOptions* o) {
                o->restore_file = folder_.File("model");
              }),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "training.json: missing"));
}

TEST_F(TrainerRestoreTest, RefusesDamagedProgressByName) {
  const struct {
    const char* key;
    nlohmann::json value;
    absl::StatusCode code;
    const char* message;
  } cases[] = {
      {"offset", -16, absl::StatusCode::kDataLoss, "offset is -16"},
      {"offset", 1.5, absl::StatusCode::kDataLoss, "offset is 1.5"},
      {"offset", INT64_MAX, absl::StatusCode::kDataLoss,
       "offset is 9223372036854775807, want 0 to 100"},
      {"epoch", INT64_MAX, absl::StatusCode::kDataLoss,
       "epoch is 9223372036854775807"},
      {"validation_pending", 1, absl::StatusCode::kDataLoss,
       "no validation_pending"},
      {"epoch", 0, absl::StatusCode::kDataLoss, "epoch is 0"},
      {"update", -1, absl::StatusCode::kDataLoss, "update is -1"},
      {"seconds", "x", absl::StatusCode::kDataLoss, "no number seconds"},
      {"fixed_options", 1, absl::StatusCode::kDataLoss, "no fixed_options"},
      {"format_version", 1, absl::StatusCode::kFailedPrecondition,
       "another format_version"},
  };
  const std::string whole = ReadFile(folder_.File(Path("training.json")));
  for (const auto& c : cases) {
    folder_.Write(Path("training.json"), whole);
    SetProgress(c.key, c.value);
    EXPECT_THAT(Restore(), StatusIs(c.code, c.message)) << c.key;
  }
  folder_.Write(Path("training.json"), whole.substr(0, whole.size() / 2));
  EXPECT_THAT(Restore(), StatusIs(absl::StatusCode::kDataLoss,
                                  "training.json: not a JSON object"));
}

TEST_F(TrainerRestoreTest, RefusesAStateInWhichABitChanged) {
  const std::string path = Path("training.safetensors");
  std::string state = ReadFile(folder_.File(path));
  state.back() = static_cast<char>(state.back() ^ 1);
  folder_.Write(path, state);

  EXPECT_THAT(Restore(), StatusIs(absl::StatusCode::kDataLoss,
                                  "training.safetensors: SHA-256 is "));
}

TEST_F(TrainerRestoreTest, RefusesAStateThatLacksATensor) {
  const std::string none = *SerializeSafetensors({});
  folder_.Write(Path("training.safetensors"), none);
  SetProgress("tensors_sha256", Sha256Hex(none));

  EXPECT_THAT(Restore(),
              StatusIs(absl::StatusCode::kNotFound, "adagrad_sum.key_pe"));
}

}  // namespace
}  // namespace spanlm
