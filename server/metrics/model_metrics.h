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

// Why a generation ended.
enum class FinishLabel { kStop, kMaxBytes, kMaxDuration };
inline constexpr std::array<const char*, 3> kFinishLabels = {
    "stop", "max_bytes", "max_duration"};

enum class StepPhase { kPrefill, kDecode, kMixed };
inline constexpr std::array<const char*, 3> kPhaseLabels = {"prefill", "decode",
                                                            "mixed"};

// What is true of a model's scheduler at one moment.
struct ModelGauges {
  std::array<std::array<int64_t, 3>, 3> running{};  // [kind][priority]
  std::array<std::array<int64_t, 3>, 3> waiting{};  // [kind][priority]
  int64_t queue_bytes = 0;
  int64_t busy_slots = 0;
  int64_t slot_count = 0;
  absl::Time heartbeat;  // when the scheduler's loop last went round
};

// Created and owned by Metrics. Thread-safe.
class ModelMetrics {
 public:
  struct Instruments;  // of prometheus-cpp
  explicit ModelMetrics(std::unique_ptr<Instruments> instruments);
  ~ModelMetrics();

  // A request's end, once each; `kind` as in kKindLabels. Requests that the
  // scheduler saw are counted by it, those that never got there by the caller.
  void CountRequest(int kind, Outcome outcome);
  // By one of kRejectionLabels (metrics.h); others count as "other".
  void CountRejection(absl::string_view reason);
  void ObserveQueue(int kind, absl::Duration time);
  void ObserveTimeToFirstByte(absl::Duration time);
  // The gap before a sent message, divided by the bytes in it.
  void ObserveInterByte(absl::Duration time);
  void CountBytes(int kind, int64_t read, int64_t scored, int64_t generated);
  void ObserveRequestBytes(int64_t in, int64_t out);
  void CountFinish(FinishLabel reason);
  void ObserveStep(StepPhase phase, absl::Duration time, int64_t sequences,
                   int64_t bytes);
  void CountNan();

  // Gauges of one running evaluation, gone with it.
  class Evaluation {
   public:
    Evaluation(ModelMetrics* metrics, const std::string& dataset);
    ~Evaluation();
    Evaluation(const Evaluation&) = delete;
    Evaluation& operator=(const Evaluation&) = delete;
    void Set(double progress_ratio, double bits_per_byte);

   private:
    ModelMetrics* const metrics_;
    struct Gauges;
    std::unique_ptr<Gauges> gauges_;
  };

 private:
  const std::unique_ptr<Instruments> instruments_;
};

}  // namespace spanlm
