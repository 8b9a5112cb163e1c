// SPDX-License-Identifier: Apache-2.0
// Learner, batcher and schedule together against the updates that the published
// programs made from the same weights, in one process and in two. Tolerances
// are the sets' READMEs'.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/train/golden_replay.h"
#include "tests/train/thread_group.h"

namespace spanlm {
namespace {

// Every one of `tensors`, by its name without `prefix`, in the set;
// `relative_tolerance` for Transformer-XL's r_net, whose gradients are near
// Adam's eps.
void ExpectTensorSet(const std::string& set, const std::string& prefix,
                     const std::vector<NamedTensor>& tensors, double tolerance,
                     double relative_tolerance = 0) {
  const MemoryTensors expected = ReadTensorSet(set);
  size_t found = 0;
  for (const NamedTensor& tensor : tensors) {
    if (!absl::StartsWith(tensor.name, prefix)) continue;
    ++found;
    const std::string name = tensor.name.substr(prefix.size());
    const std::vector<float> want = expected.Get(name);
    const Values values = Read(tensor.tensor);
    ASSERT_EQ(values.size(), want.size()) << name;
    const bool is_relative = absl::StrContains(name, "r_net");
    const double bound =
        is_relative ? std::max(tolerance, relative_tolerance) : tolerance;
    double worst = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      worst = std::max(worst, std::abs(values[i] - want[i]));
    }
    EXPECT_LE(worst, bound) << set << ": " << prefix << name;
  }
  EXPECT_EQ(found, expected.names().size()) << set;
}

void ExpectSpans(const std::vector<Values>& spans, const nlohmann::json& want,
                 double tolerance) {
  ASSERT_EQ(spans.size(), want.size());
  for (size_t layer = 0; layer < spans.size(); ++layer) {
    ASSERT_EQ(spans[layer].size(), want[layer].size());
    for (size_t head = 0; head < spans[layer].size(); ++head) {
      EXPECT_NEAR(spans[layer][head], want[layer][head].get<double>(),
                  tolerance);
    }
  }
}

std::vector<int32_t> Windows(const ByteModel& model) {
  std::vector<int32_t> windows;
  for (const LayerWindow& each : model.windows()) {
    windows.push_back(each.window);
  }
  return windows;
}

// How many processes share the rows.
class ReplayGoldenTest : public testing::TestWithParam<int> {
 protected:
  // Whether the set is here.
  bool Has(const std::string& name) {
    at::set_num_threads(1);  // as the reference ran
    for (const char* file :
         {".json", ".initial.index.json", ".final.index.json"}) {
      if (!IsThere(name + file)) return false;
    }
    return true;
  }

  // `body` sees the first process's part; the others' run beside it.
  void RunReplay(
      const PublishedRun& run, at::ScalarType type,
      const std::function<void(Replay*, const nlohmann::json&)>& each,
      const std::function<void(const Replay&)>& at_end) {
    RunAsGroup(GetParam(), [&](ProcessGroup* group) {
      at::set_num_threads(1);  // a thread's own
      Replay replay(run, type, group);
      for (const nlohmann::json& want : run.json["updates_log"]) {
        if (group->is_first()) {
          SCOPED_TRACE(testing::Message() << "update " << want["update"]);
          each(&replay, want);
        } else {
          replay.Next();
        }
      }
      if (group->is_first()) at_end(replay);
    });
  }
};

INSTANTIATE_TEST_SUITE_P(Processes, ReplayGoldenTest, testing::Values(1, 2),
                         [](const auto& info) {
                           return info.param == 1 ? "one" : "two";
                         });

void ExpectGradientNorms(const Replay& replay, const nlohmann::json& want,
                         double relative_tolerance) {
  if (want.is_null()) return;
  for (const NamedTensor& gradient : replay.learner().gradients()) {
    const double norm = want[gradient.name];
    EXPECT_NEAR(at::linalg_vector_norm(gradient.tensor).item<double>(), norm,
                relative_tolerance * norm)
        << gradient.name;
  }
}

TEST_P(ReplayGoldenTest, OriginalInSinglePrecision) {
  if (!Has("train_o")) GTEST_SKIP() << GoldenPath("train_o") << " is not here";
  RunReplay(
      AdaptiveSpanRun("train_o"), at::kFloat,
      [](Replay* replay, const nlohmann::json& want) {
        EXPECT_EQ(Windows(replay->learner().model()),
                  want["window_L_before"].get<std::vector<int32_t>>());
        const Update update = replay->Next();
        EXPECT_DOUBLE_EQ(update.lr, want["lr"].get<double>());
        EXPECT_NEAR(update.loss, want["token_loss_nats"].get<double>(), 2e-6);
        EXPECT_NEAR(update.span_loss, want["span_loss"].get<double>(), 5e-8);
        ExpectSpans(replay->Spans(), want["z_after"], 3e-7);
        double average = 0;
        int32_t longest = 0;
        for (const LayerWindow& window : replay->learner().model().windows()) {
          average += window.average_span / 2.0;
          longest = std::max(longest, window.max_size);
        }
        EXPECT_EQ(average, want["average_span_after"].get<double>());
        EXPECT_EQ(longest, want["max_span_after"].get<int32_t>());
        ExpectGradientNorms(*replay, want["gradient_norms"], 1.5e-5);
        if (want["update"] == 1) {
          ExpectTensorSet("train_o.gradient1", "",
                          replay->learner().gradients(), 5e-7);
        }
      },
      [](const Replay& replay) {
        ExpectTensorSet("train_o.final", "",
                        replay.learner().model().parameters(), 1e-5);
        ExpectTensorSet("train_o.adagrad_sum", "adagrad_sum.",
                        replay.learner().State(), 2e-6);
      });
}

TEST_P(ReplayGoldenTest, OriginalInDouble) {
  if (!Has("train_o")) GTEST_SKIP() << GoldenPath("train_o") << " is not here";
  RunReplay(
      AdaptiveSpanRun("train_o"), at::kDouble,
      [](Replay* replay, const nlohmann::json& want) {
        const Update update = replay->Next();
        EXPECT_NEAR(update.loss, want["fp64"]["token_loss_nats"].get<double>(),
                    1e-12);
        ExpectSpans(replay->Spans(), want["fp64"]["z_after"], 1e-12);
      },
      [](const Replay&) {});
}

TEST_P(ReplayGoldenTest, FairseqAdaptiveSpanInSinglePrecision) {
  if (!Has("train_f")) GTEST_SKIP() << GoldenPath("train_f") << " is not here";
  RunReplay(
      AdaptiveSpanRun("train_f"), at::kFloat,
      [](Replay* replay, const nlohmann::json& want) {
        EXPECT_EQ(Windows(replay->learner().model()),
                  want["window_L_before"].get<std::vector<int32_t>>());
        const Update update = replay->Next();
        EXPECT_DOUBLE_EQ(update.lr, want["lr"].get<double>());
        EXPECT_NEAR(update.loss,
                    want["token_loss_nats_over_all_positions"].get<double>(),
                    2e-6);
        EXPECT_NEAR(update.span_loss, want["span_loss"].get<double>(), 5e-8);
        ExpectSpans(replay->Spans(), want["z_after_unclamped"], 4e-7);
        ExpectGradientNorms(*replay, want["gradient_norms"], 5e-6);
        if (want["update"] == 1) {
          ExpectTensorSet("train_f.gradient1", "",
                          replay->learner().gradients(), 2e-7);
        }
      },
      [](const Replay& replay) {
        ExpectTensorSet("train_f.final", "",
                        replay.learner().model().parameters(), 7e-6);
        ExpectTensorSet("train_f.adagrad_sum", "adagrad_sum.",
                        replay.learner().State(), 4e-6);
      });
}

TEST_P(ReplayGoldenTest, FairseqAdaptiveSpanInDouble) {
  if (!Has("train_f")) GTEST_SKIP() << GoldenPath("train_f") << " is not here";
  RunReplay(
      AdaptiveSpanRun("train_f"), at::kDouble,
      [](Replay* replay, const nlohmann::json& want) {
        const nlohmann::json& fp64 = want["fp64"];
        EXPECT_NEAR(replay->Next().loss,
                    fp64["token_loss_nats_over_all_positions"].get<double>(),
                    3e-7);
        ExpectSpans(replay->Spans(), fp64["z_after_unclamped"], 1e-7);
      },
      [](const Replay&) {});
}

TEST_P(ReplayGoldenTest, KimiyoungInSinglePrecision) {
  if (!Has("train_k")) GTEST_SKIP() << GoldenPath("train_k") << " is not here";
  RunReplay(
      TransformerXlRun("train_k"), at::kFloat,
      [](Replay* replay, const nlohmann::json& want) {
        const Update update = replay->Next();
        EXPECT_DOUBLE_EQ(update.lr, want["lr"].get<double>());
        EXPECT_NEAR(update.loss, want["token_loss_nats"].get<double>(), 2e-6);
        EXPECT_NEAR(update.step.gradient_norm,
                    want["global_gradient_norm_before_clip"].get<double>(),
                    2e-6);
        if (want["update"] == 1) {
          ExpectTensorSet("train_k.gradient1", "",
                          replay->learner().gradients(), 5e-7);
        }
      },
      [](const Replay& replay) {
        ExpectTensorSet("train_k.final", "",
                        replay.learner().model().parameters(), 7e-6, 2e-4);
        const auto state = replay.learner().State();
        ExpectTensorSet("train_k.adam_m", "adam_m.", state, 5e-8);
        ExpectTensorSet("train_k.adam_v", "adam_v.", state, 2e-10);
      });
}

TEST_P(ReplayGoldenTest, KimiyoungInDouble) {
  if (!Has("train_k")) GTEST_SKIP() << GoldenPath("train_k") << " is not here";
  RunReplay(
      TransformerXlRun("train_k"), at::kDouble,
      [](Replay* replay, const nlohmann::json& want) {
        EXPECT_NEAR(replay->Next().loss,
                    want["fp64"]["token_loss_nats"].get<double>(), 3e-8);
      },
      [](const Replay&) {});
}

TEST_P(ReplayGoldenTest, FairseqTransformerXlInSinglePrecision) {
  if (!Has("train_hf")) {
    GTEST_SKIP() << GoldenPath("train_hf") << " is not here";
  }
  RunReplay(
      TransformerXlRun("train_hf"), at::kFloat,
      [](Replay* replay, const nlohmann::json& want) {
        const Update update = replay->Next();
        EXPECT_DOUBLE_EQ(update.lr, want["lr"].get<double>());
        EXPECT_NEAR(update.loss,
                    want["token_loss_nats_over_all_positions"].get<double>(),
                    1e-5);
        const double norm = want["global_gradient_norm_before_clip"];
        EXPECT_NEAR(update.step.gradient_norm, norm, 1e-5 * norm);
        if (want["update"] == 1) {
          ExpectTensorSet("train_hf.gradient1", "",
                          replay->learner().gradients(), 1e-6);
        }
      },
      [](const Replay& replay) {
        ExpectTensorSet("train_hf.final", "",
                        replay.learner().model().parameters(), 5e-4, 2e-3);
        const auto state = replay.learner().State();
        ExpectTensorSet("train_hf.adam_m", "adam_m.", state, 1e-6);
        ExpectTensorSet("train_hf.adam_v", "adam_v.", state, 1e-9);
      });
}

// Where eps is added is no detail: torch.optim's place gives other weights.
TEST_P(ReplayGoldenTest, FairseqTransformerXlUnderTorchsAdam) {
  if (!Has("train_hf")) {
    GTEST_SKIP() << GoldenPath("train_hf") << " is not here";
  }
  PublishedRun run = TransformerXlRun("train_hf");
  run.learner.optimizer.eps_place = AdamEps::kAfterCorrection;
  RunReplay(
      run, at::kFloat,
      [](Replay* replay, const nlohmann::json& want) {
        const nlohmann::json& torch = want["torch_adam_fp32"];
        EXPECT_NEAR(replay->Next().loss,
                    torch["token_loss_nats_over_all_positions"].get<double>(),
                    1e-5);
      },
      [](const Replay& replay) {
        ExpectTensorSet("train_hf.final_torch_adam", "",
                        replay.learner().model().parameters(), 5e-4, 1e-2);
      });
}

}  // namespace
}  // namespace spanlm
