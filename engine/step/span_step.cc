// SPDX-License-Identifier: Apache-2.0
#include "engine/step/span_step.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/kernels/layer_norm.h"
#include "engine/kernels/log_softmax.h"
#include "engine/kernels/packed_linear.h"

namespace spanlm {
namespace {

// Multiplications that are worth waking another thread for: some microseconds.
constexpr int64_t kMinWork = 1 << 15;

// Rows of a layer norm or a softmax that are.
constexpr int64_t kRowGrain = 16;

// Pieces each thread takes of a stage of equal tasks: few enough that weights
// stream, enough that a thread that was interrupted holds up nobody for long.
constexpr int64_t kPieces = 4;

const char* CheckRow(const float* log_probs, int32_t classes) {
  for (int32_t i = 0; i < classes; ++i) {
    if (!std::isfinite(log_probs[i])) {
      return "a log-probability is not a finite number";
    }
  }
  return nullptr;
}

// Larger by half at least, so that growing steps do not pay each time.
absl::Status Grow(AlignedFloats* scratch, int64_t floats) {
  const int64_t size = scratch->size();
  if (size >= floats) return absl::OkStatus();
  SPANLM_ASSIGN_OR_RETURN(
      *scratch, AlignedFloats::Create(std::max(floats, size + size / 2)));
  return absl::OkStatus();
}

}  // namespace

// What a step needs of one layer.
struct SpanStep::Layer {
  const PackedLayer* weights;
  const LayerTables* tables;
  const PositionTable* positions;
  const StepTables* step;
  float* slab;

  int32_t rows() const { return static_cast<int32_t>(step->symbols.size()); }
};

SpanStep::SpanStep(const PackedModel* model, WorkerTeam* team)
    : model_(model), team_(team) {
  kernels::SpanAttentionArgs args;
  for (const LayerTables& layer : model->tables().layers) {
    args.heads = static_cast<int32_t>(layer.heads.size());
    args.head = layer.heads.data();
    scratch_stride_ =
        std::max(scratch_stride_, kernels::SpanAttentionScratchFloats(args));
  }
  // Two threads must not write to one line, and each begins with one.
  scratch_stride_ = (scratch_stride_ + 31) / 32 * 32;
}

absl::Status SpanStep::Run(const StepTables& step, float* slab) {
  SPANLM_RETURN_IF_ERROR(Reserve(step));
  Embed(step);
  const char* error = nullptr;
  for (size_t i = 0; i < model_->layers().size() && error == nullptr; ++i) {
    error = RunLayer({&model_->layers()[i], &model_->tables().layers[i],
                      &model_->tables().positions_of(i), &step, slab});
  }
  if (error == nullptr) error = Predict(step);
  if (error == nullptr) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("step of ", step.symbols.size(), " symbols: ", error));
}

absl::Status SpanStep::Reserve(const StepTables& step) {
  const auto rows = static_cast<int64_t>(step.symbols.size());
  const auto wanted = static_cast<int64_t>(step.wanted_rows.size());
  const ModelConfig& config = model_->config();
  const std::pair<AlignedFloats*, int64_t> needs[] = {
      {&stream_, rows * config->d_model},
      {&query_key_value_, rows * 3 * config->d_model},
      {&attended_, rows * config->d_model},
      {&branch_, rows * config->d_model},
      {&inner_, rows * config->d_inner},
      {&staged_keys_, step.staged_floats},
      {&logits_, wanted * config->vocab_size},
      {&attention_scratch_, scratch_stride_ * team_->threads()}};
  for (const auto& [scratch, floats] : needs) {
    SPANLM_RETURN_IF_ERROR(Grow(scratch, floats));
  }
  return absl::OkStatus();
}

void SpanStep::Embed(const StepTables& step) {
  const int64_t width = model_->config()->d_model;
  float* row = stream_.data();
  for (const uint16_t symbol : step.symbols) {
    std::copy_n(model_->embedding(symbol), width, row);
    row += width;
  }
}

const char* SpanStep::RunLayer(const Layer& layer) {
  const char* error = Map(layer.weights->query_key_value, false, stream_.data(),
                          query_key_value_.data(), layer.rows());
  if (error == nullptr) error = Attend(layer);
  if (error == nullptr) {
    error = Norm(layer.weights->norm1, branch_.data(), layer.rows());
  }
  return error == nullptr ? FeedForward(layer) : error;
}

kernels::CacheAppendArgs SpanStep::AppendArgs(const Layer& layer) {
  const ModelConfig& config = model_->config();
  const int64_t width = config->d_model;
  kernels::CacheAppendArgs args;
  args.heads = config->n_head;
  args.head_dim = config->d_head;
  args.key = query_key_value_.data() + width;
  args.value = query_key_value_.data() + 2 * width;
  args.key_row_stride = args.value_row_stride = 3 * width;
  args.cache = layer.slab;
  args.staged_keys = staged_keys_.data();
  args.head = layer.tables->heads.data();
  args.chunks = layer.step->chunks.data();
  args.chunk_count = static_cast<int32_t>(layer.step->chunks.size());
  return args;
}

kernels::SpanAttentionArgs SpanStep::AttentionArgs(const Layer& layer) {
  const ModelConfig& config = model_->config();
  const ModelTables& tables = model_->tables();
  const int64_t width = config->d_model;
  kernels::SpanAttentionArgs args;
  args.rows = layer.rows();
  args.heads = config->n_head;
  args.head_dim = config->d_head;
  args.query = query_key_value_.data();
  args.value = query_key_value_.data() + 2 * width;
  args.query_row_stride = args.value_row_stride = 3 * width;
  args.cache = layer.slab;
  args.staged_keys = staged_keys_.data();
  args.chunks = layer.step->chunks.data();
  args.row_chunk = layer.step->row_chunk.data();
  args.head = layer.tables->heads.data();
  if (!layer.tables->mask.empty()) {
    args.mask = layer.tables->mask.data() + kernels::kBlockPositions;
    args.mask_columns = layer.tables->mask_columns;
    args.mask_head_stride = args.mask_columns + kernels::kBlockPositions;
  }
  args.position_keys = layer.positions->keys.data();
  args.position_columns = layer.positions->columns;
  args.position_reach = layer.positions->reach;
  args.position_head_stride = layer.positions->head_stride;
  if (!layer.tables->content_bias.empty()) {
    args.content_bias = layer.tables->content_bias.data();
    args.position_bias = layer.tables->position_bias.data();
  }
  args.min_distance = tables.min_distance;
  args.renormalize = tables.renormalize;
  args.empty_start = tables.empty_start;
  args.scale = tables.scale;
  args.out = attended_.data();
  args.out_row_stride = width;
  return args;
}

// Keys are staged before the attention and rings written after it: neither
// scores nor state depend on the chunks.
const char* SpanStep::Attend(const Layer& layer) {
  const kernels::CacheAppendArgs append = AppendArgs(layer);
  const int64_t rings = int64_t{append.chunk_count} * append.heads;
  const char* error = nullptr;
  if (layer.step->staged_floats > 0) {
    error =
        team_->Run(rings, 1, [&](int /*thread*/, int64_t begin, int64_t end) {
          return kernels::StageKeysCpu(append, begin, end);
        });
  }
  if (error != nullptr) return error;
  const kernels::SpanAttentionArgs args = AttentionArgs(layer);
  // The longest heads first, so that no thread ends with one of them.
  const int32_t* order = layer.tables->head_order.data();
  const int64_t tasks = kernels::SpanAttentionTasks(args);
  const int64_t work =
      3 * layer.tables->head_positions * args.head_dim * args.rows;
  error = team_->Run(
      tasks, work < kMinWork ? tasks : 1,
      [&](int thread, int64_t begin, int64_t end) {
        float* scratch = attention_scratch_.data() + thread * scratch_stride_;
        const char* task_error = nullptr;
        for (int64_t i = begin; i < end && task_error == nullptr; ++i) {
          const int64_t task = i - i % args.heads + order[i % args.heads];
          task_error = kernels::SpanAttentionCpu(args, task, task + 1, scratch);
        }
        return task_error;
      });
  if (error != nullptr) return error;
  error = team_->Run(rings, append.heads,
                     [&](int /*thread*/, int64_t begin, int64_t end) {
                       return kernels::AppendToCacheCpu(append, begin, end);
                     });
  if (error != nullptr) return error;
  return Map(layer.weights->attention_out, false, attended_.data(),
             branch_.data(), layer.rows());
}

const char* SpanStep::FeedForward(const Layer& layer) {
  const char* error = Map(layer.weights->inner, true, stream_.data(),
                          inner_.data(), layer.rows());
  if (error == nullptr) {
    error = Map(layer.weights->outer, false, inner_.data(), branch_.data(),
                layer.rows());
  }
  if (error != nullptr) return error;
  return Norm(layer.weights->norm2, branch_.data(), layer.rows());
}

// y = map(x) for `rows` dense rows.
const char* SpanStep::Map(const PackedMap& map, bool relu, const float* x,
                          float* y, int32_t rows) {
  kernels::PackedLinearArgs args;
  args.rows = rows;
  args.inputs = map.inputs;
  args.outputs = map.outputs;
  args.x = x;
  args.x_row_stride = map.inputs;
  args.weights = map.weights.data();
  args.bias = map.bias.empty() ? nullptr : map.bias.data();
  args.relu = relu;
  args.y = y;
  args.y_row_stride = map.outputs;
  const int64_t tasks = kernels::PackedLinearTasks(args);
  const int64_t work = int64_t{rows} * map.inputs * map.outputs;
  const int64_t grain =
      work < kMinWork
          ? tasks
          : std::max<int64_t>(1, tasks / (kPieces * team_->threads()));
  return team_->Run(tasks, grain,
                    [&](int /*thread*/, int64_t begin, int64_t end) {
                      return kernels::PackedLinearCpu(args, begin, end);
                    });
}

// The stream becomes LayerNorm(stream + x).
const char* SpanStep::Norm(const NormWeights& norm, const float* x,
                           int32_t rows) {
  kernels::LayerNormArgs args;
  args.rows = rows;
  args.dim = model_->config()->d_model;
  args.x = x;
  args.residual = stream_.data();
  args.weight = norm.weight.data();
  args.bias = norm.bias.data();
  args.y = stream_.data();
  return team_->Run(rows, kRowGrain,
                    [&](int /*thread*/, int64_t begin, int64_t end) {
                      return kernels::LayerNormCpu(args, begin, end);
                    });
}

const char* SpanStep::Predict(const StepTables& step) {
  const int64_t width = model_->config()->d_model;
  const auto rows = static_cast<int32_t>(step.wanted_rows.size());
  for (int32_t i = 0; i < rows; ++i) {
    std::copy_n(stream_.data() + step.wanted_rows[i] * width, width,
                attended_.data() + i * width);
  }
  const char* error =
      Map(model_->logits(), false, attended_.data(), logits_.data(), rows);
  if (error != nullptr) return error;
  kernels::LogSoftmaxArgs args;
  args.rows = rows;
  args.classes = model_->config()->vocab_size;
  args.logits = logits_.data();
  args.log_probs = logits_.data();
  args.logits_row_stride = args.log_probs_row_stride = args.classes;
  return team_->Run(
      rows, kRowGrain, [&](int /*thread*/, int64_t begin, int64_t end) {
        const char* row_error = kernels::LogSoftmaxCpu(args, begin, end);
        for (int64_t i = begin; i < end && row_error == nullptr; ++i) {
          row_error = CheckRow(args.log_probs + i * args.classes, args.classes);
        }
        return row_error;
      });
}

}  // namespace spanlm
