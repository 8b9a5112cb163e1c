// SPDX-License-Identifier: Apache-2.0
// Gauges of the models' schedulers, computed at a scrape.
#pragma once

#include <prometheus/metric_family.h>

#include <map>
#include <string>
#include <vector>

#include "server/metrics/model_metrics.h"

namespace spanlm {

// The families of all models, by the models' names.
std::vector<prometheus::MetricFamily> ModelGaugeFamilies(
    const std::map<std::string, ModelGauges>& models);

}  // namespace spanlm
