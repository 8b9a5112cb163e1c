// SPDX-License-Identifier: Apache-2.0
// What a run leaves behind, when it ends, and that it learns.
#include "train/trainer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "engine/checkpoint/model_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/train/thread_group.h"
#include "tests/train/trainer_fixture.h"
#include "train/serving_check.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::UnorderedElementsAre;

TEST_F(TrainerTest, SavesAtTheEndOfEveryPassWhatOpensAndLoads) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.max_epoch = 2;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK_AND_ASSIGN(const TrainEnd end, trainer->Run());

  EXPECT_EQ(end, TrainEnd::kDone);
  EXPECT_THAT(Folders(),
              UnorderedElementsAre("checkpoint1", "checkpoint2",
                                   "checkpoint_best", "checkpoint_last"));
  for (const std::string& name : Folders()) {
    ASSERT_OK_AND_ASSIGN(const ModelDir dir,
                         ModelDir::Open(SaveDir() + "/" + name));
    ASSERT_OK_AND_ASSIGN(const auto model, LoadByteModel(dir.config(), dir));
    EXPECT_EQ(dir.parameter_count(), trainer->model().parameter_count());
    EXPECT_FALSE(ReadFile(dir.path() + "/training.json").empty());
  }
  ASSERT_OK_AND_ASSIGN(const ModelDir last,
                       ModelDir::Open(SaveDir() + "/checkpoint_last"));
  for (const NamedTensor& parameter : trainer->model().parameters()) {
    ASSERT_OK_AND_ASSIGN(const TensorView saved, last.Find(parameter.name));
    ASSERT_EQ(saved.bytes.size(), parameter.tensor.nbytes());
    EXPECT_EQ(0,
              std::memcmp(saved.bytes.data(), parameter.tensor.const_data_ptr(),
                          saved.bytes.size()))
        << parameter.name;
  }
}

TEST_F(TrainerTest, LogsUpdatesThenTheValidationThenThePass) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.max_epoch = 2;
  options.log_interval = 4;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK(trainer->Run());

  // Two passes of six updates, one validation for each.
  EXPECT_THAT(Tags(), ElementsAre("train_inner", "valid", "spans", "serving",
                                  "train", "train_inner", "train_inner",
                                  "valid", "spans", "serving", "train"));
  const nlohmann::json valid = LogLines(SaveDir(), "valid").back();
  EXPECT_EQ(valid["epoch"], 2);
  EXPECT_EQ(valid["valid_num_updates"],
            std::to_string(trainer->progress().update));
}

TEST_F(TrainerTest, LogsAtASaveThatTheEngineScoresAsTheModelInTraining) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.schedule.max_update = 4;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK(trainer->Run());

  const nlohmann::json valid = LogLines(SaveDir(), "valid").back();
  const nlohmann::json serving = LogLines(SaveDir(), "serving").back();
  EXPECT_EQ(serving["serving_loss"], valid["valid_loss"]);
  EXPECT_LT(std::abs(std::stod(std::string(serving["serving_difference"]))),
            1e-4);
  EXPECT_EQ(serving["serving_num_updates"], "4");
}

TEST_F(TrainerTest, ServingCheckSeesWhereTheSavedWeightsAreOthers) {
  const TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));
  ASSERT_OK(trainer->Save("before"));
  ASSERT_OK(trainer->Update());
  ASSERT_OK(trainer->Save("after"));
  const std::string text = RandomText(200, 9);
  const auto difference = [&](const std::string& name) {
    const auto check = CheckServing(
        trainer->model(), SaveDir() + "/" + name,
        SymbolText(absl::MakeConstSpan(
            reinterpret_cast<const uint8_t*>(text.data()), text.size())),
        {3, 16, 1});
    EXPECT_OK(check);
    return check.ok() ? std::abs(check->difference()) : 0;
  };

  EXPECT_LT(difference("after"), 1e-4);
  EXPECT_GT(difference("before"), 1e-3);
}

TEST_F(TrainerTest, EndsAfterMaxUpdateWithOneValidationAndASave) {
  TrainOptions options = TransformerXlRun(Random(), SaveDir());
  options.schedule.max_update = 2;
  options.validate_interval_updates = 1;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK_AND_ASSIGN(const TrainEnd end, trainer->Run());

  EXPECT_EQ(end, TrainEnd::kDone);
  EXPECT_EQ(trainer->progress().update, 2);
  EXPECT_THAT(Tags(), ElementsAre("train_inner", "valid", "train_inner",
                                  "valid", "serving", "train"));
  EXPECT_TRUE(ModelDir::Open(SaveDir() + "/checkpoint_last").ok());
}

TEST_F(TrainerTest, EndsAfterItsHoursThoseOfEarlierRunsIncluded) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.schedule.max_update = 2;
  ASSERT_OK_AND_ASSIGN(auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));
  ASSERT_OK(trainer->Run());
  options.schedule.max_update = 1000;
  options.stop_time_hours = 1e-10;  // less than two updates take
  ASSERT_OK_AND_ASSIGN(trainer, Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK_AND_ASSIGN(const TrainEnd end, trainer->Run());

  EXPECT_EQ(end, TrainEnd::kDone);
  EXPECT_EQ(trainer->progress().update, 2);
}

TEST_F(TrainerTest, StopsBeforeTheNextUpdateAndSavesWhenAskedTo) {
  const TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));
  ASSERT_OK(trainer->Update());
  stop_ = true;

  ASSERT_OK_AND_ASSIGN(const TrainEnd end, trainer->Run());

  EXPECT_EQ(end, TrainEnd::kStopped);
  EXPECT_EQ(trainer->progress().update, 1);
  EXPECT_THAT(Folders(), ElementsAre("checkpoint_last"));
}

TEST_F(TrainerTest, LogsEveryHeadsSpanAtAValidation) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.schedule.max_update = 2;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  ASSERT_OK(trainer->Run());

  const nlohmann::json line = LogLines(SaveDir(), "spans").back();
  EXPECT_EQ(line["num_updates"], "2");
  ASSERT_EQ(line["spans"].size(), 2U);
  for (const nlohmann::json& layer : line["spans"]) {
    ASSERT_EQ(layer.size(), 2U);
    // 0.2 of 128 at the start, moved a little.
    for (const double span : layer) EXPECT_NEAR(span, 25.6, 3);
  }
}

// Validation in fairseq's order moves the memory that training goes on from.
TEST_F(TrainerTest, SharedMemoryLetsValidationReachIntoTraining) {
  std::vector<double> losses[2];
  for (const bool shares : {false, true}) {
    for (const bool validates : {false, true}) {
      TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
      options.save_dir = folder_.File(std::to_string(2 * shares + validates));
      options.dropout = {};
      options.semantics.shares_memory = shares;
      options.schedule.max_update = 4;
      options.validate_interval_updates = validates ? 1 : 0;
      ASSERT_OK_AND_ASSIGN(const auto trainer,
                           Trainer::Create(options, &stop_, group_.get()));
      ASSERT_OK(trainer->Run());
      losses[validates].clear();
      for (const auto& line : LogLines(options.save_dir, "train_inner")) {
        losses[validates].push_back(
            std::stod(line["bits_per_byte"].get<std::string>()));
      }
    }
    EXPECT_EQ(losses[0] == losses[1], !shares);
  }
}

TEST_F(TrainerTest, NamesTheUpdateWhoseLossIsNotFiniteAndSavesNothing) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.schedule.lr = 1e30;
  options.schedule.warmup_updates = 0;
  options.optimizer.adagrad_clip = 0;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  EXPECT_THAT(trainer->Run(), StatusIs(absl::StatusCode::kInternal,
                                       AllOf(HasSubstr("update 2: loss is"),
                                             HasSubstr("largest value"),
                                             HasSubstr("lower --lr"))));
  EXPECT_THAT(Folders(), ElementsAre());
}

TEST_F(TrainerTest, SavesNoParameterThatIsNotFinite) {
  TrainOptions options = AdaptiveSpanRun(Random(), SaveDir());
  options.schedule.lr = 1e39;  // beyond fp32
  options.schedule.warmup_updates = 0;
  options.schedule.max_update = 1;
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop_, group_.get()));

  EXPECT_THAT(trainer->Run(),
              StatusIs(absl::StatusCode::kInternal,
                       "validation after update 1: loss is nan"));
  EXPECT_THAT(trainer->Save("checkpoint_last"),
              StatusIs(absl::StatusCode::kInternal, "parameter "));
  EXPECT_THAT(Folders(), ElementsAre());
}

TEST_F(TrainerTest, ProcessesWithFoldersOfTheirOwnAreToldSo) {
  const std::string data = Random();
  for (const bool shares : {true, false}) {
    TrainOptions options = AdaptiveSpanRun(data, SaveDir());
    options.batch_size = 2;
    std::vector<absl::Status> statuses(2);
    RunAsGroup(2, [&](ProcessGroup* group) {
      TrainOptions own = options;
      if (!shares && !group->is_first()) own.save_dir = folder_.File("own");
      const auto trainer = Trainer::Create(own, &stop_, group);
      statuses[group->rank()] = trainer.status();
      if (!trainer.ok() || !shares) return;
      ASSERT_OK((*trainer)->Update());
      ASSERT_OK((*trainer)->Save("checkpoint_last"));
    });
    for (const absl::Status& status : statuses) {
      if (shares) {
        EXPECT_OK(status);
        continue;
      }
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                                   "process 1 goes on from update 0 and the "
                                   "first one from update 1"));
    }
  }
}

TEST_F(TrainerTest, KeepsEverySpanFromZeroToOne) {
  for (const double start : {0.0, 1.0}) {
    SCOPED_TRACE(start);
    TrainOptions options =
        AdaptiveSpanRun(Random(), folder_.File("span" + std::to_string(start)));
    options.adapt_span_init = start;
    options.aux_loss_scaler = 0;
    options.schedule.warmup_updates = 0;
    ASSERT_OK_AND_ASSIGN(const auto trainer,
                         Trainer::Create(options, &stop_, group_.get()));
    int at_the_bound = 0;
    for (int i = 0; i < 8; ++i) {
      ASSERT_OK(trainer->Update());
      for (const NamedTensor& parameter : trainer->model().parameters()) {
        if (!absl::EndsWith(parameter.name, "current_val")) continue;
        const float* z = parameter.tensor.const_data_ptr<float>();
        for (int64_t j = 0; j < parameter.tensor.numel(); ++j) {
          EXPECT_THAT(z[j], AllOf(Ge(0.0F), Le(1.0F)));
          at_the_bound += z[j] == static_cast<float>(start) ? 1 : 0;
        }
      }
    }
    EXPECT_GT(at_the_bound, 0) << "no span was held back";
  }
}

TEST_F(TrainerTest, RefusesTextTooShortForItsRows) {
  const std::string data = WriteCorpus(folder_, RandomText(100, 1), "");
  EXPECT_THAT(
      Trainer::Create(AdaptiveSpanRun(data, SaveDir()), &stop_, group_.get()),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "gives 4 rows of 25; --tokens-per-sample 16 needs rows of at "
               "least 34"));
}

TEST_F(TrainerTest, RefusesASaveDirThatIsAFile) {
  const std::string file = folder_.Write("file", "");
  EXPECT_THAT(
      Trainer::Create(AdaptiveSpanRun(Random(), file), &stop_, group_.get()),
      StatusIs(absl::StatusCode::kUnavailable, "file"));
}

constexpr char kPeriod[] = "abacabbc";
constexpr double kLearnedBits = 0.6;  // one letter's sight gives 0.94

void ExpectLearns(TrainOptions options, Precision precision) {
  options.precision = precision;
  options.dropout = {};
  options.model.d_model = 32;
  options.model.d_head = 16;
  options.schedule.max_update = 250;
  const std::atomic<bool> stop{false};
  const std::unique_ptr<ProcessGroup> group = ProcessGroup::Alone();
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, &stop, group.get()));
  ASSERT_OK(trainer->Run());
  const auto bits = [&](const nlohmann::json& line) {
    return std::stod(line["loss"].get<std::string>());
  };
  const auto lines = LogLines(options.save_dir, "train_inner");
  EXPECT_GT(bits(lines.front()), 5);
  EXPECT_LT(bits(lines.back()), kLearnedBits);
  EXPECT_LT(trainer->progress().best_loss, kLearnedBits);
}

TEST_F(TrainerTest, LearnsAPeriodicTextInBothPrecisions) {
  const std::string data = WriteCorpus(folder_, PeriodicText(kPeriod, 20000),
                                       PeriodicText(kPeriod, 200));
  for (const auto& [precision, name] :
       {std::pair(Precision::kFull, "fp32"), {Precision::kBf16, "bf16"}}) {
    SCOPED_TRACE(name);
    TrainOptions xl =
        TransformerXlRun(data, folder_.File(std::string(name) + "xl"));
    xl.schedule.lr = 4e-3;
    TrainOptions span = AdaptiveSpanRun(data, folder_.File(name));
    span.aux_loss_scaler = 1e-6;
    span.optimizer = xl.optimizer;
    span.schedule = xl.schedule;
    {
      SCOPED_TRACE("adaptive_span");
      ExpectLearns(span, precision);
    }
    SCOPED_TRACE("transformer_xl");
    ExpectLearns(xl, precision);
  }
}

}  // namespace
}  // namespace spanlm
