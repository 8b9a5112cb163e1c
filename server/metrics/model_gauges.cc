// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/model_gauges.h"

#include "server/metrics/scraped_family.h"

namespace spanlm {
namespace {

using RequestCounts = std::array<std::array<int64_t, 3>, 3>;

void AddRequests(prometheus::MetricFamily* family, const std::string& model,
                 const RequestCounts& counts) {
  for (size_t kind = 0; kind < counts.size(); ++kind) {
    for (size_t priority = 0; priority < counts[kind].size(); ++priority) {
      AddGauge(family,
               {{"model", model},
                {"kind", kKindLabels[kind]},
                {"priority", kPriorityLabels[priority]}},
               static_cast<double>(counts[kind][priority]));
    }
  }
}

// States do not move to the host yet, and none idles between calls.
void AddSlots(prometheus::MetricFamily* family, const std::string& model,
              const ModelGauges& gauges) {
  for (const char* location : {"device", "host"}) {
    const bool is_device = location[0] == 'd';
    const int64_t free = gauges.slot_count - gauges.busy_slots;
    const std::pair<const char*, int64_t> states[] = {
        {"free", is_device ? free : 0},
        {"idle", 0},
        {"busy", is_device ? gauges.busy_slots : 0}};
    for (const auto& [state, count] : states) {
      AddGauge(family,
               {{"model", model}, {"location", location}, {"state", state}},
               static_cast<double>(count));
    }
  }
}

double UsageRatio(const ModelGauges& gauges) {
  if (gauges.slot_count == 0) return 0;
  return static_cast<double>(gauges.busy_slots) /
         static_cast<double>(gauges.slot_count);
}

}  // namespace

std::vector<prometheus::MetricFamily> ModelGaugeFamilies(
    const std::map<std::string, ModelGauges>& models) {
  prometheus::MetricFamily running =
      GaugeFamilyOf("spanlm_requests_running", "Requests that hold a slot.");
  prometheus::MetricFamily waiting = GaugeFamilyOf(
      "spanlm_requests_waiting", "Requests that wait for a slot.");
  prometheus::MetricFamily bytes =
      GaugeFamilyOf("spanlm_queue_bytes", "Bytes held by waiting requests.");
  prometheus::MetricFamily slots = GaugeFamilyOf(
      "spanlm_session_slots", "Slots for texts' states, by place and state.");
  prometheus::MetricFamily usage = GaugeFamilyOf(
      "spanlm_cache_usage_ratio", "Share of the slots that is in use.");
  prometheus::MetricFamily heartbeat =
      GaugeFamilyOf("spanlm_engine_heartbeat_timestamp_seconds",
                    "When the scheduler last went round, Unix time.");
  for (const auto& [model, gauges] : models) {
    const LabelPairs labels = {{"model", model}};
    AddRequests(&running, model, gauges.running);
    AddRequests(&waiting, model, gauges.waiting);
    AddGauge(&bytes, labels, static_cast<double>(gauges.queue_bytes));
    AddSlots(&slots, model, gauges);
    AddGauge(&usage, labels, UsageRatio(gauges));
    AddGauge(&heartbeat, labels,
             absl::ToDoubleSeconds(gauges.heartbeat - absl::UnixEpoch()));
  }
  return {running, waiting, bytes, slots, usage, heartbeat};
}

}  // namespace spanlm
