// SPDX-License-Identifier: Apache-2.0
// The instruments of one served model. Knows no jobs: kinds, priorities and
// outcomes are indices into the lists of label values here.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace spanlm {

// Label values; their order is that of the enums of server/jobs/job.h.
inline constexpr std::array<const char*, 3> kKindLabels = {"score", "generate",
                                                           "evaluate"};
inline constexpr std::array<const char*, 3> kPriorityLabels = {
    "interactive", "standard", "batch"};

// How a request ended.
enum class Outcome { kOk, kCancelled, kDeadline, kRejected, kInvalid, kError };
inline constexpr std::array<const char*, 6> kOutcomeLabels = {
    "ok", "cancelled", "deadline", "rejected", "invalid", "error"};

// Why requests are rejected; "other" for what is none of these.
inline constexpr std::array<const char*, 8> kRejectionLabels = {
    "QUEUE_FULL",   "QUEUE_BYTES", "SESSION_QUOTA", "RATE_LIMIT",
    "STREAM_LIMIT", "LOADING",     "DRAINING",      "other"};

// Why a generation ended.
enum class FinishLabel { kStop, kMaxBytes, kMaxDuration };
inline constexpr std::array<const char*, 3> kFinishLabels = {
    "stop", "max_bytes", "max_duration"};

enum class StepPhase { kPrefill, kDecode, kMixed };
inline constexpr std::array<const char*, 3> kPhaseLabels = {"prefill", "decode",
                                                            "mixed"};

enum class ModelState { kLoading, kReady };
inline constexpr std::array<const char*, 2> kModelStateLabels = {"loading",
                                                                 "ready"};

// What is true of a model's scheduler at one moment.
struct ModelGauges {
  std::array<std::array<int64_t, 3>, 3> running{};  // [kind][priority]
  std::array<std::array<int64_t, 3>, 3> waiting{};  // [kind][priority]
  int64_t queue_bytes = 0;
  int64_t busy_slots = 0;
  int64_t slot_count = 0;
  absl::Time heartbeat;  // when the scheduler's loop last went round
};

// Made and owned by Metrics. Thread-safe.
class ModelMetrics {
 public:
  struct Instruments;  // of prometheus-cpp
  explicit ModelMetrics(std::unique_ptr<Instruments> instruments);
  ~ModelMetrics();

  // A request's end, once each; `kind` is an index of kKindLabels. The
  // scheduler counts what was submitted to it, its callers count the rest.
  void CountRequest(int kind, Outcome outcome);
  // `reason` as in kRejectionLabels.
  void CountRejection(absl::string_view reason);
  void ObserveQueue(int kind, absl::Duration time);
  void ObserveTimeToFirstByte(absl::Duration time);
  void ObserveInterByte(absl::Duration time);
  void CountBytes(int kind, int64_t read, int64_t scored, int64_t generated);
  void ObserveRequestBytes(int64_t in, int64_t out);
  void CountFinish(FinishLabel reason);
  void ObserveStep(StepPhase phase, absl::Duration time, int64_t sequences,
                   int64_t bytes);
  void CountNan();

 private:
  friend class EvaluationGauges;
  const std::unique_ptr<Instruments> instruments_;
};

// The gauges of a running evaluation, exposed while it lives; evaluations of
// one data set share them. One thread at a time.
class EvaluationGauges {
 public:
  // `metrics` is lent. `dataset` comes from a closed set.
  EvaluationGauges(ModelMetrics* metrics, const std::string& dataset);
  ~EvaluationGauges();
  EvaluationGauges(const EvaluationGauges&) = delete;
  EvaluationGauges& operator=(const EvaluationGauges&) = delete;

  void Set(double progress_ratio, double bits_per_byte);

 private:
  ModelMetrics::Instruments* const instruments_;
  const std::string dataset_;
};

}  // namespace spanlm
