// SPDX-License-Identifier: Apache-2.0
// Metric families that are computed at a scrape.
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <utility>

namespace spanlm {

using LabelPairs = std::vector<std::pair<std::string, std::string>>;

inline void AddGauge(prometheus::MetricFamily* family, const LabelPairs& labels,
                     double value) {
  prometheus::ClientMetric metric;
  for (const auto& [name, text] : labels) metric.label.push_back({name, text});
  metric.gauge.value = value;
  family->metric.push_back(std::move(metric));
}

inline prometheus::MetricFamily GaugeFamilyOf(const std::string& name,
                                              const std::string& help) {
  return {name, help, prometheus::MetricType::Gauge, {}};
}

inline prometheus::MetricFamily SingleGauge(const std::string& name,
                                            const std::string& help,
                                            double value) {
  prometheus::MetricFamily family = GaugeFamilyOf(name, help);
  AddGauge(&family, {}, value);
  return family;
}

inline prometheus::MetricFamily SingleCounter(const std::string& name,
                                              const std::string& help,
                                              double value) {
  prometheus::MetricFamily family{
      name, help, prometheus::MetricType::Counter, {}};
  prometheus::ClientMetric metric;
  metric.counter.value = value;
  family.metric.push_back(std::move(metric));
  return family;
}

}  // namespace spanlm
