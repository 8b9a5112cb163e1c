// SPDX-License-Identifier: Apache-2.0
// The learned spans of a model's heads as pictures.
#pragma once

#include <string>
#include <vector>

#include "train/run_history.h"

namespace spanlm {

// Spans in positions, [n_layer][n_head], one cell each, coloured by their
// logarithm, and a scale. `spans` is not empty.
std::string DrawSpanMap(const std::vector<std::vector<double>>& spans);

// A legend and a chart for each layer, in it a line for each head, all on one
// axis. `records` is not empty; those of another shape than the last one, which
// is the model that the run ended with, are left out.
std::string DrawSpansOverTime(const std::vector<SpanRecord>& records,
                              double last_update);

}  // namespace spanlm
