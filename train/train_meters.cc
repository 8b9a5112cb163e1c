// SPDX-License-Identifier: Apache-2.0
#include "train/train_meters.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace spanlm {

void TrainMeters::Add(const UpdateFigures& figures) {
  ++count_;
  clipped_ += figures.clipped ? 1 : 0;
  loss_ += figures.loss_bits;
  total_loss_ += figures.total_loss_bits;
  gradient_norm_ += figures.gradient_norm;
  spans_.average += figures.spans.average;
  spans_.maximum += figures.spans.maximum;
  duration_ += figures.duration;
}

void TrainMeters::Append(const std::string& prefix, const LatestFigures& latest,
                         LogRecord* record) const {
  const double n = static_cast<double>(count_);
  const double seconds = absl::ToDoubleSeconds(duration_);
  const double symbols = static_cast<double>(options_.rows * options_.block);
  const auto key = [&](const char* name) { return absl::StrCat(prefix, name); };
  record->Rounded(key("loss"), loss_ / n, 3);
  if (options_.has_spans) {
    record->Rounded(key("avg_span"), spans_.average / n, 3)
        .Rounded(key("max_span"), spans_.maximum / n, 3)
        .Rounded(key("total_loss"), total_loss_ / n, 3);
  }
  record->Rounded(key("ppl"), std::exp2(loss_ / n), 2)
      .Rounded(key("wps"), n * symbols / seconds, 1)
      .Rounded(key("ups"), n / seconds, 2)
      .Rounded(key("wpb"), symbols, 1)
      .Rounded(key("bsz"), static_cast<double>(options_.rows), 1)
      .Number(key("num_updates"), static_cast<double>(latest.update))
      .Number(key("lr"), latest.lr)
      .Rounded(key("gnorm"), gradient_norm_ / n, 3);
  if (options_.has_clip) {
    record->Rounded(key("clip"), 100 * static_cast<double>(clipped_) / n, 1);
  }
  record->Rounded(key("train_wall"), seconds, 0)
      .Rounded(key("wall"), latest.wall_seconds, 0);
}

}  // namespace spanlm
