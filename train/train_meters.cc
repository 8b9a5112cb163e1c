// SPDX-License-Identifier: Apache-2.0
#include "train/train_meters.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace spanlm {

void TrainMeters::Add(const UpdateFigures& figures) {
  const UpdateReport& report = figures.report;
  ++count_;
  clipped_ += report.step.clipped ? 1 : 0;
  scored_ += report.scored;
  positions_ += report.positions;
  bits_ += report.nats / M_LN2;
  span_loss_bits_ += report.span_loss / M_LN2;
  gradient_norm_ += report.step.gradient_norm;
  spans_.average += figures.spans.average;
  spans_.maximum += figures.spans.maximum;
  duration_ += figures.duration;
}

void TrainMeters::AppendLosses(const std::string& prefix, const Losses& losses,
                               LogRecord* record) const {
  const auto key = [&](const char* name) { return absl::StrCat(prefix, name); };
  record->Rounded(key("loss"), losses.loss, losses.digits);
  double of_perplexity = losses.loss;
  if (options_.has_spans) {
    record->Rounded(key("avg_span"), losses.spans.average, 3)
        .Rounded(key("max_span"), losses.spans.maximum, 3)
        .Rounded(key("total_loss"), losses.loss + losses.span_loss,
                 losses.digits);
    if (options_.fairseq_losses) {
      // Divided once more by the batch, as its criterion's sample size is 1.
      of_perplexity =
          losses.loss / static_cast<double>(options_.rows * options_.block);
      record->Rounded(key("nll_loss"), of_perplexity, 3);
    }
  }
  record->Rounded(key("ppl"), std::exp2(of_perplexity), 2);
}

void TrainMeters::Append(const std::string& prefix, const LatestFigures& latest,
                         LogRecord* record) const {
  const double n = static_cast<double>(count_);
  const double seconds = absl::ToDoubleSeconds(duration_);
  const auto positions = static_cast<double>(positions_);
  const double per_symbol = bits_ / static_cast<double>(scored_);
  const auto key = [&](const char* name) { return absl::StrCat(prefix, name); };
  AppendLosses(prefix,
               {options_.fairseq_losses ? bits_ / positions : per_symbol,
                span_loss_bits_ / n,
                {spans_.average / n, spans_.maximum / n},
                3},
               record);
  record->Rounded(key("wps"), positions / seconds, 1)
      .Rounded(key("ups"), n / seconds, 2)
      .Rounded(key("wpb"), positions / n, 1)
      .Rounded(key("bsz"), positions / n / static_cast<double>(options_.block),
               1)
      .Number(key("num_updates"), static_cast<double>(latest.update))
      .Number(key("lr"), latest.lr)
      .Rounded(key("gnorm"), gradient_norm_ / n, 3);
  if (options_.has_clip) {
    record->Rounded(key("clip"), 100 * static_cast<double>(clipped_) / n, 1);
  }
  if (options_.has_loss_scale) {
    record->Rounded(key("loss_scale"), latest.loss_scale, 4);
  }
  record->Rounded(key("train_wall"), seconds, 0)
      .Rounded(key("wall"), latest.wall_seconds, 0)
      .Rounded(key("bits_per_byte"), per_symbol, 4);
}

void TrainMeters::AppendValid(const ValidFigures& figures, int64_t update,
                              LogRecord* record) const {
  const Validation& sum = figures.validation;
  const auto positions = static_cast<double>(sum.positions);
  const double loss =
      options_.fairseq_losses ? sum.bits / positions : sum.bits_per_symbol();
  AppendLosses("valid_",
               {loss, figures.span_loss_bits, figures.spans,
                options_.fairseq_losses ? 3 : 4},
               record);
  record
      ->Rounded("valid_wps",
                positions / absl::ToDoubleSeconds(figures.duration), 1)
      .Rounded("valid_wpb", static_cast<double>(options_.rows * options_.block),
               1)
      .Rounded("valid_bsz", static_cast<double>(options_.rows), 1)
      .Number("valid_num_updates", static_cast<double>(update))
      .Rounded("valid_best_loss",
               figures.best_bits_per_symbol * loss / sum.bits_per_symbol(), 4)
      .Rounded("valid_bits_per_byte", sum.bits_per_symbol(), 4);
}

}  // namespace spanlm
