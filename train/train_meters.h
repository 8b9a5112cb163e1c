// SPDX-License-Identifier: Apache-2.0
// Averages between two log lines and the lines made of them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "train/train_log.h"

namespace spanlm {

// Spans of all layers, in positions, ramp included.
struct SpanFigures {
  double average = 0;
  double maximum = 0;
};

// What one update adds.
struct UpdateFigures {
  double loss_bits = 0;        // per byte
  double total_loss_bits = 0;  // with the span loss
  double gradient_norm = 0;
  bool clipped = false;
  absl::Duration duration;
  SpanFigures spans;
};

// What the latest update decides alone.
struct LatestFigures {
  int64_t update = 0;
  double lr = 0;  // of the next update, as fairseq logs it
  double wall_seconds = 0;
};

// Which members a line has, and the size of an update.
struct MeterOptions {
  bool has_spans = true;
  bool has_clip = false;
  int64_t rows = 0;
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
  void Reset() { *this = TrainMeters(options_); }

 private:
  MeterOptions options_;
  int64_t count_ = 0;
  int64_t clipped_ = 0;
  double loss_ = 0, total_loss_ = 0, gradient_norm_ = 0;
  SpanFigures spans_;
  absl::Duration duration_;
};

}  // namespace spanlm
