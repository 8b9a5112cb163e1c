// SPDX-License-Identifier: Apache-2.0
#include "train/validate.h"

#include <ATen/Functions.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

namespace spanlm {
namespace {

// One pass over the rows, the last block of slices being a short one.
class OnePass {
 public:
  OnePass(const SymbolText& text, const ValidateOptions& options)
      : text_(text), options_(options) {
    if (options.rows.layout != RowLayout::kBlocks) return;
    absl::StatusOr<StreamBatcher> batcher =
        StreamBatcher::Create(text, options.rows);
    if (batcher.ok()) batcher_ = *std::move(batcher);
  }

  // Nothing at the end.
  std::optional<StreamBatch> Next() {
    if (options_.rows.layout == RowLayout::kSlices) return NextOfSlices();
    if (!batcher_.has_value() || batcher_->at_pass_end()) return std::nullopt;
    return batcher_->Next();
  }

 private:
  std::optional<StreamBatch> NextOfSlices() {
    const BatchOptions& rows = options_.rows;
    const int64_t left = text_.size() / rows.rows - 1 - offset_;
    const int64_t least = options_.whole_blocks_only ? rows.block : 1;
    if (left < least) return std::nullopt;
    const int64_t count = std::min(rows.block, left);
    const auto gather = [&](int64_t offset) {
      return GatherRows(text_, rows.rows, rows.first_row, rows.row_count,
                        offset, count);
    };
    StreamBatch batch;
    for (int64_t row = 0; row < rows.row_count; ++row) {
      batch.begins.push_back(
          (rows.first_row + row) * (text_.size() / rows.rows) + offset_);
    }
    batch.tokens = gather(offset_);
    batch.targets = gather(offset_ + 1);
    offset_ += count;
    return batch;
  }

  const SymbolText text_;
  const ValidateOptions options_;
  std::optional<StreamBatcher> batcher_;
  int64_t offset_ = 0;
};

int64_t CountScored(const at::Tensor& targets) {
  return targets.ne(kUnscored).sum().item<int64_t>();
}

// The part's scored `losses` at their symbols' places.
void Store(const at::Tensor& losses, const StreamBatch& batch,
           const RowPart& part, std::vector<float>* places) {
  const int64_t block = batch.tokens.size(1);
  const at::Tensor dense = losses.to(at::kCPU, at::kFloat).contiguous();
  const float* loss = dense.const_data_ptr<float>();
  const int64_t* target = batch.targets.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < part.count; ++row) {
    for (int64_t i = 0; i < block; ++i) {
      if (target[(part.first + row) * block + i] == kUnscored) continue;
      (*places)[static_cast<size_t>(batch.begins[part.first + row] + i + 1)] =
          loss[row * block + i];
    }
  }
}

}  // namespace

Validation Validate(const ByteModel& model, const SymbolText& text,
                    const ValidateOptions& options,
                    std::vector<ModelMemory>* memories,
                    const std::function<bool(const Validation&)>& goes_on) {
  PassOptions pass;
  pass.precision = options.precision;
  const at::Device device = model.parameters().front().tensor.device();
  const std::vector<RowPart> parts =
      MakeRowParts(options.rows.row_count, device);
  std::vector<ModelMemory> own;
  if (memories == nullptr) {
    own = SplitRows(model.NewMemory(options.rows.row_count, pass), parts);
    memories = &own;
  }
  Validation total;
  OnePass batches(text, options);
  while (const std::optional<StreamBatch> batch = batches.Next()) {
    std::vector<double> nats(parts.size());
    ForRowParts(parts, [&](size_t i, const RowPart& part) {
      at::NoGradGuard no_grad;  // a thread's own
      const auto rows_of = [&](const at::Tensor& x) {
        return x.narrow(0, part.first, part.count).to(device);
      };
      const at::Tensor logits =
          model.Forward(rows_of(batch->tokens), pass, &(*memories)[i]);
      const at::Tensor losses = at::cross_entropy_loss(
          logits.flatten(0, 1), rows_of(batch->targets).flatten(), {},
          at::Reduction::None, kUnscored);
      nats[i] = losses.sum(at::kDouble).item<double>();
      if (options.losses != nullptr) {
        Store(losses, *batch, part, options.losses);
      }
    });
    const double bits = std::accumulate(nats.begin(), nats.end(), 0.0) / M_LN2;
    const int64_t scored = CountScored(batch->targets);
    total.bits += bits;
    total.scored += scored;
    total.positions += batch->tokens.numel();
    if (scored > 0) total.block_mean_bits += bits / static_cast<double>(scored);
    ++total.blocks;
    if (goes_on && !goes_on(total)) {
      total.complete = false;
      break;
    }
  }
  return total;
}

}  // namespace spanlm
