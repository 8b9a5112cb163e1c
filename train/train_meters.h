// SPDX-License-Identifier: Apache-2.0
// Averages between two log lines and the lines made of them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "train/learner.h"
#include "train/train_log.h"
#include "train/validate.h"

namespace spanlm {

// Spans of all layers, in positions, ramp included.
struct SpanFigures {
  double average = 0;
  double maximum = 0;
};

// What one update adds.
struct UpdateFigures {
  UpdateReport report;
  absl::Duration duration;
  SpanFigures spans;
};

// What the latest update decides alone.
struct LatestFigures {
  int64_t update = 0;
  double lr = 0;  // of the next update, as fairseq logs it
  double loss_scale = 1;
  double wall_seconds = 0;
};

// One validation, of all processes.
struct ValidFigures {
  Validation validation;
  double span_loss_bits = 0;
  double best_bits_per_symbol = 0;
  absl::Duration duration;
  SpanFigures spans;
};

// Which members a line has, and the size of a batch.
struct MeterOptions {
  bool has_spans = true;
  bool has_clip = false;
  bool has_loss_scale = false;
  bool fairseq_losses = false;  // see Semantics
  int64_t rows = 0;             // of all processes
  int64_t block = 0;
};

// One thread at a time.
class TrainMeters {
 public:
  explicit TrainMeters(const MeterOptions& options) : options_(options) {}

  void Add(const UpdateFigures& figures);
  bool empty() const { return count_ == 0; }
  // Members from `loss` on, each key after `prefix`.
  void Append(const std::string& prefix, const LatestFigures& latest,
              LogRecord* record) const;
  // A validation's members from `valid_loss` on.
  void AppendValid(const ValidFigures& figures, int64_t update,
                   LogRecord* record) const;
  void Reset() { *this = TrainMeters(options_); }

 private:
  struct Losses {
    double loss = 0, span_loss = 0;  // bits
    SpanFigures spans;
    int digits = 3;
  };

  // `loss`, spans, `total_loss`, `nll_loss` and `ppl`.
  void AppendLosses(const std::string& prefix, const Losses& losses,
                    LogRecord* record) const;

  MeterOptions options_;
  int64_t count_ = 0;
  int64_t clipped_ = 0;
  int64_t scored_ = 0, positions_ = 0;
  double bits_ = 0, span_loss_bits_ = 0, gradient_norm_ = 0;
  SpanFigures spans_;
  absl::Duration duration_;
};

}  // namespace spanlm
