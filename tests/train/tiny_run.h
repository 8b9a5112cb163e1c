// SPDX-License-Identifier: Apache-2.0
// Training runs that end within a second: a corpus and the options over it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "train/train_options.h"

namespace spanlm {

// A raw corpus directory of these parts inside `folder`; returns its path.
std::string WriteCorpus(const TempDir& folder, const std::string& train,
                        const std::string& valid);

// `size` bytes that follow no pattern, the same for the same seed.
std::string RandomText(size_t size, uint32_t seed);
// `period` again and again.
std::string PeriodicText(const std::string& period, size_t size);

// Four rows read in blocks of 16 by one thread, dropout on, a line an update:
// Adaptive Span with clipped Adagrad in warm-up; Transformer-XL with Adam,
// clip, decay and a cosine. No limit is set but the cosine's period.
TrainOptions AdaptiveSpanRun(const std::string& data,
                             const std::string& save_dir);
TrainOptions TransformerXlRun(const std::string& data,
                              const std::string& save_dir);

// The objects of a run's train.jsonl that bear `tag`; all where it is empty.
std::vector<nlohmann::json> LogLines(const std::string& save_dir,
                                     const std::string& tag);

}  // namespace spanlm
