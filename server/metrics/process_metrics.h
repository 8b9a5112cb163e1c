// SPDX-License-Identifier: Apache-2.0
// The standard process_* metrics, read from /proc.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace spanlm {

// CPU time, memory, descriptors and start time of this process, read now; what
// /proc does not tell is left out. Thread-safe.
std::vector<prometheus::MetricFamily> CollectProcessMetrics();

}  // namespace spanlm
