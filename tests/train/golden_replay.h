// SPDX-License-Identifier: Apache-2.0
// The published programs' training runs: what they started from, and our
// learner on the way through them.
#pragma once

#include <ATen/Functions.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "engine/model/byte_model.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"
#include "train/learner.h"
#include "train/schedule.h"
#include "train/stream_batcher.h"

namespace spanlm {

using Values = std::vector<double>;

inline Values Read(const at::Tensor& tensor) {
  const at::Tensor x = tensor.detach().to(at::kDouble).contiguous();
  return Values(x.const_data_ptr<double>(),
                x.const_data_ptr<double>() + x.numel());
}

inline MemoryTensors ReadTensorSet(const std::string& name) {
  const nlohmann::json index = GoldenJson(name + ".index.json");
  const std::string bytes = ReadFile(GoldenPath(index["data"]));
  std::vector<TensorData> tensors;
  for (const nlohmann::json& entry : index["tensors"]) {
    TensorData tensor;
    // Hugging Face's names but for the wrapper's.
    const std::string name = entry["name"];
    tensor.name = std::string(absl::StripPrefix(name, "transformer."));
    tensor.shape = entry["shape"].get<std::vector<int64_t>>();
    tensor.bytes = bytes.substr(entry["offset"], entry["bytes"]);
    tensors.push_back(std::move(tensor));
  }
  return MemoryTensors(std::move(tensors));
}

// Ids are below 256, so that they pass as bytes.
inline std::vector<uint8_t> ReadTokens(const std::string& name) {
  const std::string bytes = ReadFile(GoldenPath(name));
  std::vector<uint8_t> tokens;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    EXPECT_EQ(bytes[i + 1], 0);
    tokens.push_back(static_cast<uint8_t>(bytes[i]));
  }
  return tokens;
}

// What a set says of its run.
struct PublishedRun {
  std::string name;
  nlohmann::json json;
  ModelFields fields;
  LearnerOptions learner;
  ScheduleOptions schedule;
  RowLayout layout = RowLayout::kSlices;
};

struct Update {
  double lr = 0, loss = 0, span_loss = 0;
  StepReport step;
};

// The tokens of a set's rows. Blocks: as many whole ones as there are updates,
// so that a row of blocks begins where the set's does.
inline std::vector<uint8_t> RowTokens(const PublishedRun& run) {
  const std::string own = run.name + ".tokens.u16";
  std::vector<uint8_t> tokens =
      ReadTokens(IsThere(own) ? own : "train.tokens.u16");
  if (run.layout == RowLayout::kSlices) return tokens;
  const size_t rows = run.json["batch"], length = tokens.size() / rows;
  const size_t kept =
      run.json["updates"].get<size_t>() * run.json["block_size"].get<size_t>();
  std::vector<uint8_t> blocks;
  for (size_t row = 0; row < rows; ++row) {
    const auto first = tokens.begin() + static_cast<ptrdiff_t>(row * length);
    blocks.insert(blocks.end(), first, first + static_cast<ptrdiff_t>(kept));
  }
  return blocks;
}

// A process's part of a run, update by update.
class Replay {
 public:
  Replay(const PublishedRun& run, at::ScalarType type, ProcessGroup* group)
      : schedule_(run.schedule),
        tokens_(RowTokens(run)),
        batcher_(*StreamBatcher::Create(
            SymbolText(absl::MakeConstSpan(tokens_)), Rows(run, *group))),
        learner_(run.learner,
                 *LoadByteModel(*ModelConfig::Create(run.fields),
                                ReadTensorSet(run.name + ".initial"), type),
                 Rows(run, *group).row_count, group) {}

  Update Next() {
    Update update;
    update.lr = LearningRate(schedule_, ++update_, 0);
    const absl::StatusOr<UpdateReport> report =
        learner_.Update({batcher_.Next()}, update.lr, update_);
    EXPECT_OK(report);
    if (!report.ok()) return update;
    update.loss = report->nats / static_cast<double>(report->positions);
    update.span_loss = report->span_loss;
    update.step = report->step;
    return update;
  }

  const Learner& learner() const { return learner_; }
  std::vector<Values> Spans() const {
    std::vector<Values> spans;
    for (const NamedTensor& parameter : learner_.model().parameters()) {
      if (!absl::EndsWith(parameter.name, "current_val")) continue;
      spans.push_back(Read(parameter.tensor));
    }
    return spans;
  }

 private:
  static BatchOptions Rows(const PublishedRun& run, const ProcessGroup& group) {
    BatchOptions rows =
        WholeBatch(run.layout, run.json["batch"], run.json["block_size"]);
    rows.row_count /= group.size();
    rows.first_row = rows.row_count * group.rank();
    return rows;
  }

  const ScheduleOptions schedule_;
  const std::vector<uint8_t> tokens_;
  StreamBatcher batcher_;
  Learner learner_;
  int64_t update_ = 0;
};

inline ModelFields CommonFields(const nlohmann::json& hyperparameters) {
  ModelFields fields;
  fields.n_layer = hyperparameters["n_layer"];
  fields.d_model = hyperparameters["d_model"];
  fields.n_head = hyperparameters["n_head"];
  fields.d_head = fields.d_model / fields.n_head;
  fields.d_inner = hyperparameters["d_inner"];
  return fields;
}

inline PublishedRun NewRun(const std::string& name) {
  PublishedRun run;
  run.name = name;
  run.json = GoldenJson(name + ".json");
  run.fields = CommonFields(run.json["hyperparameters"]);
  run.schedule.lr = run.json["lr"];
  return run;
}

inline PublishedRun AdaptiveSpanRun(const std::string& name) {
  PublishedRun run = NewRun(name);
  const nlohmann::json& hyperparameters = run.json["hyperparameters"];
  run.fields.vocab_size = hyperparameters["vocab_size"];
  run.fields.attn_span = hyperparameters["attn_span"];
  run.fields.ramp = hyperparameters["adapt_span_ramp"];
  run.learner.optimizer.adagrad_clip = run.json["clip"];
  run.learner.aux_loss_scaler = run.json["span_loss_coefficient"];
  run.schedule.warmup_updates = run.json["warmup_updates"];
  if (name == "train_f") {
    run.fields.renormalize = false;
    run.learner.span_clamp = SpanClamp::kBeforeForward;
    run.layout = RowLayout::kBlocks;
  }
  return run;
}

inline PublishedRun TransformerXlRun(const std::string& name) {
  PublishedRun run = NewRun(name);
  const nlohmann::json& hyperparameters = run.json["hyperparameters"];
  run.fields.architecture = Architecture::kTransformerXl;
  run.fields.mem_len = hyperparameters["mem_len"];
  run.fields.clamp_len = hyperparameters["clamp_len"];
  run.fields.same_length = hyperparameters["same_length"];
  run.learner.optimizer.kind = OptimizerKind::kAdam;
  run.learner.optimizer.clip_norm = 0.25;
  run.schedule.scheduler = LrScheduler::kCosine;
  if (name == "train_k") {
    run.fields.vocab_size = hyperparameters["n_token"];
    run.fields.tie_biases = true;
    run.fields.memory_start = MemoryStart::kEmpty;
    run.schedule.max_update = run.json["updates"];
  } else {
    run.fields.vocab_size = hyperparameters["vocab_size"];
    run.learner.optimizer.eps_place = AdamEps::kBeforeCorrection;
    run.layout = RowLayout::kBlocks;
    run.schedule.max_update = 12;  // "schedule" says so in words
  }
  return run;
}

}  // namespace spanlm
