// SPDX-License-Identifier: Apache-2.0
// A training run's train.jsonl as curves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace spanlm {

struct CurvePoint {
  double update = 0;
  double value = 0;
};

// Rising in `update`.
using Curve = std::vector<CurvePoint>;

// The learned spans at some update, in positions without the ramp.
struct SpanRecord {
  double update = 0;
  std::vector<std::vector<double>> spans;  // [n_layer][n_head]
};

// What the log tells; a curve is empty where it tells nothing. Numbers keep the
// six digits that the log gives them.
struct RunHistory {
  // Bits per scored symbol, averaged since the line before; of a log without
  // them fairseq's loss.
  Curve train_loss;
  Curve valid_loss;
  Curve learning_rate;
  Curve gradient_norm;
  Curve loss_scale;          // of fp16
  Curve symbols_per_second;  // in training
  Curve average_span;        // positions, ramp included
  Curve longest_span;        // positions, ramp included
  Curve seconds;             // of training, earlier runs included
  Curve epochs;
  std::vector<SpanRecord> spans;  // rising in `update`

  double last_update = 0;
  int64_t restarts = 0;       // times that the updates went back
  int64_t lines = 0;          // read
  int64_t skipped_lines = 0;  // among them: no JSON object, as a cut-off line
};

// Reads the text of a log. A line whose update is not after that of an earlier
// one takes that one's place: a run that was resumed from a save before its end
// goes over the same updates again. Keys may be missing, values may be numbers
// or numbers as text; what is not finite is left out.
RunHistory ParseRunHistory(absl::string_view text);

// The same from a file. kNotFound names it; kUnavailable: the disk refuses.
absl::StatusOr<RunHistory> ReadRunHistory(const std::string& path);

// At most `most` (4 or more) of a curve's points: its ends, and the least and
// the greatest of each of equally many points in between, so that no spike is
// lost.
Curve ThinOut(const Curve& curve, size_t most);

// Averages over `width` points around each point.
Curve Smooth(const Curve& curve, size_t width);

}  // namespace spanlm
