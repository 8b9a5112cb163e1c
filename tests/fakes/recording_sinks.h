// SPDX-License-Identifier: Apache-2.0
// Sinks of jobs that remember what they were given.
#pragma once

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/jobs/evaluate_job.h"
#include "server/jobs/generate_job.h"
#include "server/jobs/score_stream_job.h"
#include "tests/fakes/end_signal.h"

namespace spanlm {

// Read the fields after ended.Wait(), or from the job's thread.
struct RecordingGenerateSink : GenerateSink {
  void OnBytes(GeneratedBytes bytes) override {
    text += bytes.bytes;
    pieces.push_back(std::move(bytes));
    taken.fetch_add(1);
  }
  void OnEnd(const absl::Status& end_status, const GenerateSummary& end_summary,
             const RequestTiming& end_timing) override {
    status = end_status;
    summary = end_summary;
    timing = end_timing;
    ended.Notify();
  }
  bool has_room() const override { return room.load(); }

  std::atomic<bool> room{true};
  std::atomic<int> taken{0};  // calls of OnBytes
  std::string text;
  std::vector<GeneratedBytes> pieces;
  absl::Status status;
  GenerateSummary summary;
  RequestTiming timing;
  EndSignal ended;
};

struct RecordingScoreStreamSink : ScoreStreamSink {
  void OnAnswer(ScoreStreamAnswer answer) override {
    answers.push_back(std::move(answer));
  }
  void OnTextTaken() override { ++taken_count; }
  void OnEnd(const absl::Status& end_status, const RequestTiming&) override {
    status = end_status;
    ended.Notify();
  }
  bool has_room() const override { return room.load(); }

  std::atomic<bool> room{true};
  int taken_count = 0;
  std::vector<ScoreStreamAnswer> answers;
  absl::Status status;
  EndSignal ended;
};

struct RecordingEvaluateSink : EvaluateSink {
  void OnScored(absl::string_view bytes) override {
    scored.append(bytes.data(), bytes.size());
  }
  void OnProgress(const EvaluateState& progress_state) override {
    progress.push_back(progress_state);
  }
  void OnEnd(const absl::Status& end_status, const EvaluateState& end_state,
             const RequestTiming&) override {
    status = end_status;
    state = end_state;
    ended.Notify();
  }

  std::string scored;
  std::vector<EvaluateState> progress;
  absl::Status status;
  EvaluateState state;
  EndSignal ended;
};

}  // namespace spanlm
