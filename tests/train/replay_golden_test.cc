// SPDX-License-Identifier: Apache-2.0
// Model, batcher, schedule and optimizer together against the updates that the
// published programs made from the same weights. Tolerances are the set's
// README's.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "engine/model/byte_model.h"
#include "gtest/gtest.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"
#include "tests/train/golden_case.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/stream_batcher.h"

namespace spanlm {
namespace {

using Values = std::vector<double>;

Values Read(const at::Tensor& tensor) {
  const at::Tensor x = tensor.detach().to(at::kDouble).contiguous();
  return Values(x.const_data_ptr<double>(),
                x.const_data_ptr<double>() + x.numel());
}

MemoryTensors ReadTensorSet(const std::string& name) {
  const nlohmann::json index = GoldenJson(name + ".index.json");
  const std::string bytes = ReadFile(GoldenPath(index["data"]));
  std::vector<TensorData> tensors;
  for (const nlohmann::json& entry : index["tensors"]) {
    TensorData tensor;
    tensor.name = entry["name"];
    tensor.shape = entry["shape"].get<std::vector<int64_t>>();
    tensor.bytes = bytes.substr(entry["offset"], entry["bytes"]);
    tensors.push_back(std::move(tensor));
  }
  return MemoryTensors(std::move(tensors));
}

// Ids are below 256, so that they pass as bytes.
std::vector<uint8_t> ReadTokens(const std::string& name) {
  const std::string bytes = ReadFile(GoldenPath(name));
  std::vector<uint8_t> tokens;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    EXPECT_EQ(bytes[i + 1], 0);
    tokens.push_back(static_cast<uint8_t>(bytes[i]));
  }
  return tokens;
}

// Every one of `tensors`, by its name without `prefix`, in the set.
void ExpectTensorSet(const std::string& set, const std::string& prefix,
                     const std::vector<NamedTensor>& tensors,
                     double tolerance) {
  const MemoryTensors expected = ReadTensorSet(set);
  size_t found = 0;
  for (const NamedTensor& tensor : tensors) {
    if (!absl::StartsWith(tensor.name, prefix)) continue;
    ++found;
    const std::string name = tensor.name.substr(prefix.size());
    const std::vector<float> want = expected.Get(name);
    const Values values = Read(tensor.tensor);
    ASSERT_EQ(values.size(), want.size()) << name;
    // Transformer-XL's r_net has gradients near Adam's eps.
    const double bound =
        set == "train_k.final" && absl::StrContains(name, "r_net") ? 2e-4
                                                                   : tolerance;
    double worst = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double difference = std::abs(values[i] - want[i]);
      if (!(difference <= worst)) worst = difference;  // NaN shows
    }
    EXPECT_LE(worst, bound) << set << ": " << prefix << name;
  }
  EXPECT_EQ(found, expected.names().size()) << set;
}

struct Update {
  double lr = 0, loss = 0, span_loss = 0;
  StepReport step;
};

// One of the set's runs, update by update.
class Replay {
 public:
  Replay(const std::string& name, const ModelFields& fields,
         const OptimizerOptions& optimizer, const ScheduleOptions& schedule,
         at::ScalarType type)
      : json_(GoldenJson(name + ".json")),
        tokens_(ReadTokens(name == "train_k" ? "train_k.tokens.u16"
                                             : "train.tokens.u16")),
        batcher_(*StreamBatcher::Create(tokens_, json_["batch"],
                                        json_["block_size"], 1)),
        model_(*LoadByteModel(*ModelConfig::Create(fields),
                              ReadTensorSet(name + ".initial"), type)),
        optimizer_(NewOptimizer(optimizer, model_->parameters())),
        schedule_(schedule),
        memory_(model_->NewMemory(json_["batch"], PassOptions())) {}

  Update Next() {
    const StreamBatch batch = batcher_.Next();
    const at::Tensor logits =
        model_->Forward(batch.tokens, PassOptions(), &memory_);
    at::Tensor loss =
        at::cross_entropy_loss(logits.flatten(0, 1), batch.targets.flatten());
    Update update;
    update.loss = loss.item<double>();
    if (model_->SpanSum().defined()) {
      const at::Tensor spans =
          model_->SpanSum() * json_["span_loss_coefficient"].get<double>();
      update.span_loss = spans.item<double>();
      loss = loss + spans;
    }
    std::vector<at::Tensor> parameters;
    for (const NamedTensor& parameter : model_->parameters()) {
      parameters.push_back(parameter.tensor);
    }
    const auto gradients = torch::autograd::grad({loss}, parameters);
    gradients_.clear();
    for (size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].mutable_grad() = gradients[i].contiguous();
      gradients_.push_back({model_->parameters()[i].name, gradients[i]});
    }
    update.lr = LearningRate(schedule_, ++update_, 0);
    update.step = optimizer_->Step(update.lr);
    model_->ClampSpans();
    return update;
  }

  const nlohmann::json& json() const { return json_; }
  const ByteModel& model() const { return *model_; }
  const Optimizer& optimizer() const { return *optimizer_; }
  const std::vector<NamedTensor>& gradients() const { return gradients_; }
  std::vector<Values> Spans() const {
    std::vector<Values> spans;
    for (const NamedTensor& parameter : model_->parameters()) {
      if (!absl::EndsWith(parameter.name, "current_val")) continue;
      spans.push_back(Read(parameter.tensor));
    }
    return spans;
  }

 private:
  const nlohmann::json json_;
  const std::vector<uint8_t> tokens_;
  StreamBatcher batcher_;
  std::unique_ptr<ByteModel> model_;
  std::unique_ptr<Optimizer> optimizer_;
  ScheduleOptions schedule_;
  ModelMemory memory_;
  std::vector<NamedTensor> gradients_;
  int64_t update_ = 0;
};

ModelFields CommonFields(const nlohmann::json& hyperparameters) {
  ModelFields fields;
  fields.n_layer = hyperparameters["n_layer"];
  fields.d_model = hyperparameters["d_model"];
  fields.n_head = hyperparameters["n_head"];
  fields.d_head = fields.d_model / fields.n_head;
  fields.d_inner = hyperparameters["d_inner"];
  return fields;
}

std::unique_ptr<Replay> OriginalRun(at::ScalarType type) {
  const nlohmann::json json = GoldenJson("train_o.json");
  const nlohmann::json& hyperparameters = json["hyperparameters"];
  ModelFields fields = CommonFields(hyperparameters);
  fields.vocab_size = hyperparameters["vocab_size"];
  fields.attn_span = hyperparameters["attn_span"];
  fields.ramp = hyperparameters["adapt_span_ramp"];
  OptimizerOptions optimizer;
  optimizer.adagrad_clip = json["clip"];
  ScheduleOptions schedule;
  schedule.lr = json["lr"];
  schedule.warmup_updates = json["warmup_updates"];
  return std::make_unique<Replay>("train_o", fields, optimizer, schedule, type);
}

std::unique_ptr<Replay> KimiyoungRun(at::ScalarType type) {
  const nlohmann::json json = GoldenJson("train_k.json");
  const nlohmann::json& hyperparameters = json["hyperparameters"];
  ModelFields fields = CommonFields(hyperparameters);
  fields.architecture = Architecture::kTransformerXl;
  fields.vocab_size = hyperparameters["n_token"];
  fields.mem_len = hyperparameters["mem_len"];
  fields.clamp_len = hyperparameters["clamp_len"];
  fields.same_length = hyperparameters["same_length"];
  fields.tie_biases = true;
  fields.memory_start = MemoryStart::kEmpty;
  OptimizerOptions optimizer;
  optimizer.kind = OptimizerKind::kAdam;
  optimizer.clip_norm = 0.25;
  ScheduleOptions schedule;
  schedule.scheduler = LrScheduler::kCosine;
  schedule.lr = json["lr"];
  schedule.max_update = json["updates"];
  return std::make_unique<Replay>("train_k", fields, optimizer, schedule, type);
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

class ReplayGoldenTest : public testing::Test {
 protected:
  void Need(const std::string& name) {
    for (const char* file :
         {".json", ".initial.index.json", ".final.index.json"}) {
      if (!IsThere(name + file)) {
        GTEST_SKIP() << GoldenPath(name + file) << " is not here";
      }
    }
    at::set_num_threads(1);  // as the reference ran
  }
};

class OriginalReplayGoldenTest : public ReplayGoldenTest {
 protected:
  void SetUp() override { Need("train_o"); }
};

TEST_F(OriginalReplayGoldenTest, MakesThePublishedUpdatesInSinglePrecision) {
  const auto replay = OriginalRun(at::kFloat);
  for (const nlohmann::json& want : replay->json()["updates_log"]) {
    SCOPED_TRACE(testing::Message() << "update " << want["update"]);
    EXPECT_EQ(Windows(replay->model()),
              want["window_L_before"].get<std::vector<int32_t>>());
    const Update update = replay->Next();
    EXPECT_DOUBLE_EQ(update.lr, want["lr"].get<double>());
    EXPECT_NEAR(update.loss, want["token_loss_nats"].get<double>(), 2e-6);
    EXPECT_NEAR(update.span_loss, want["span_loss"].get<double>(), 5e-8);
    ExpectSpans(replay->Spans(), want["z_after"], 3e-7);
    double average = 0;
    int32_t longest = 0;
    for (const LayerWindow& window : replay->model().windows()) {
      average += window.average_span / 2.0;
      longest = std::max(longest, window.max_size);
    }
    EXPECT_EQ(average, want["average_span_after"].get<double>());
    EXPECT_EQ(longest, want["max_span_after"].get<int32_t>());
    if (want["gradient_norms"].is_null()) continue;
    for (const NamedTensor& gradient : replay->gradients()) {
      const double norm = want["gradient_norms"][gradient.name];
      EXPECT_NEAR(at::linalg_vector_norm(gradient.tensor).item<double>(), norm,
                  1.5e-5 * norm)
          << gradient.name;
    }
    if (want["update"] == 1) {
      ExpectTensorSet("train_o.gradient1", "", replay->gradients(), 5e-7);
    }
  }
  ExpectTensorSet("train_o.final", "", replay->model().parameters(), 1e-5);
  ExpectTensorSet("train_o.adagrad_sum", "adagrad_sum.",
                  replay->optimizer().State(), 2e-6);
}

TEST_F(OriginalReplayGoldenTest, MakesThePublishedUpdatesInDouble) {
  const auto replay = OriginalRun(at::kDouble);
  for (const nlohmann::json& want : replay->json()["updates_log"]) {
    SCOPED_TRACE(testing::Message() << "update " << want["update"]);
    const Update update = replay->Next();
    EXPECT_NEAR(update.loss, want["fp64"]["token_loss_nats"].get<double>(),
                1e-12);
    ExpectSpans(replay->Spans(), want["fp64"]["z_after"], 1e-12);
  }
}

class KimiyoungReplayGoldenTest : public ReplayGoldenTest {
 protected:
  void SetUp() override { Need("train_k"); }
};

TEST_F(KimiyoungReplayGoldenTest, MakesThePublishedUpdatesInSinglePrecision) {
  const auto replay = KimiyoungRun(at::kFloat);
  for (const nlohmann::json& want : replay->json()["updates_log"]) {
    SCOPED_TRACE(testing::Message() << "update " << want["update"]);
    const Update update = replay->Next();
    EXPECT_DOUBLE_EQ(update.lr, want["lr"].get<double>());
    EXPECT_NEAR(update.loss, want["token_loss_nats"].get<double>(), 2e-6);
    EXPECT_NEAR(update.step.gradient_norm,
                want["global_gradient_norm_before_clip"].get<double>(), 2e-6);
    if (want["update"] == 1) {
      ExpectTensorSet("train_k.gradient1", "", replay->gradients(), 5e-7);
    }
  }
  ExpectTensorSet("train_k.final", "", replay->model().parameters(), 7e-6);
  const auto state = replay->optimizer().State();
  ExpectTensorSet("train_k.adam_m", "adam_m.", state, 5e-8);
  ExpectTensorSet("train_k.adam_v", "adam_v.", state, 2e-10);
}

TEST_F(KimiyoungReplayGoldenTest, MakesThePublishedUpdatesInDouble) {
  const auto replay = KimiyoungRun(at::kDouble);
  for (const nlohmann::json& want : replay->json()["updates_log"]) {
    EXPECT_NEAR(replay->Next().loss,
                want["fp64"]["token_loss_nats"].get<double>(), 3e-8)
        << "update " << want["update"];
  }
}

}  // namespace
}  // namespace spanlm
