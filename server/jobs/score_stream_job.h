// SPDX-License-Identifier: Apache-2.0
// The score of one document whose text comes in pieces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bits_total.h"
#include "engine/symbol_map.h"
#include "server/jobs/byte_scorer.h"
#include "server/jobs/job.h"
#include "server/jobs/text_inbox.h"

namespace spanlm {

enum class ScoreUnit { kNone, kLine, kBlock };

// Where a document's score stands; all that a resume needs beside the text.
struct ScoreStreamState {
  int64_t position = 0;  // bytes of the document scored
  BitsTotal total;
  bool greedy = true;
  int64_t unit_bytes = 0;  // of the unit that has begun
  BitsTotal unit_total;
};

struct UnitScore {
  int64_t byte_count = 0;
  BitsTotal total;
};

// News of a document since the last answer.
struct ScoreStreamAnswer {
  ScoreStreamState state;
  BitsTotal delta;
  std::vector<UnitScore> units;  // completed ones
  std::vector<float> log_probs;  // nats; if per_byte
  std::vector<TopBytes> tops;    // if top_count > 0
};

// Takes a document's scores. Owned by the call, which outlives the job.
// Scheduler's thread, but for has_room.
class ScoreStreamSink {
 public:
  virtual ~ScoreStreamSink() = default;
  // At least once each 64 KiB of text, when all received text is scored, and at
  // the document's end.
  virtual void OnAnswer(ScoreStreamAnswer answer) = 0;
  // Text has left the inbox: there may be room to receive more.
  virtual void OnTextTaken() = 0;
  // The last call. After an OK all text was answered for.
  virtual void OnEnd(const absl::Status& status,
                     const RequestTiming& timing) = 0;
  // Whether answers may come; while not, the job pauses. Thread-safe. When it
  // turns true again, wake the scheduler.
  virtual bool has_room() const = 0;
};

struct ScoreStreamOptions {
  ScoreOptions output;
  ScoreUnit unit = ScoreUnit::kNone;
  int64_t block_bytes = 0;  // of ScoreUnit::kBlock, above 0
  // Where the text sent begins in the document, a multiple of kBlock; bytes
  // before from.position are read, not scored.
  int64_t start = 0;
  ScoreStreamState from;  // of an earlier stream; default: the beginning
  // An answer holds scores of less than twice this size, however large a step.
  int64_t max_score_bytes = 256 << 10;
  int64_t inbox_bytes = 0;  // most that may lie in the inbox
};

class ScoreStreamJob : public Job {
 public:
  static constexpr int64_t kAnswerBytes = 64 << 10;  // of text

  // `symbols`, `inbox` and `sink` are lent.
  ScoreStreamJob(const SymbolMap* symbols, const ScoreStreamOptions& options,
                 TextInbox* inbox, ScoreStreamSink* sink);

  int64_t held_bytes() const override;
  int64_t start() const override { return options_.start; }
  bool done() const override { return done_; }
  Work Ready() override;
  absl::StatusOr<Chunk> Next(int64_t max_symbols) override;
  absl::StatusOr<ByteCounts> Consume(const SequenceResult& result,
                                     const SpanCache& cache) override;
  void End(const absl::Status& status, const RequestTiming& timing) override;

 private:
  void AddToUnits(absl::string_view bytes, const ByteScores& scores);
  void CloseUnit();
  bool IsAnswerDue() const;
  // Most bytes of an answer that the scores of one byte take.
  int64_t ScoreBytesPerByte() const;
  void SendAnswer();

  const SymbolMap* const symbols_;
  const ScoreStreamOptions options_;
  TextInbox* const inbox_;
  ScoreStreamSink* const sink_;
  ByteScorer scorer_;
  int64_t read_position_;  // in the document
  ScoreStreamState state_;
  ScoreStreamAnswer answer_;   // what is not sent yet
  ScoreStreamState answered_;  // as of the last answer
  std::string bytes_;          // of the chunk in flight
  std::vector<uint16_t> chunk_;
  bool done_ = false;
};

}  // namespace spanlm
