// SPDX-License-Identifier: Apache-2.0
// A text as fairseq stores it: ids in PREFIX.bin, where its lines are in
// PREFIX.idx.
//
//   PREFIX.bin   uint16, id after id, no header
//   PREFIX.idx   "MMIDIDX\0\0", uint64 version = 1, uint8 type = 8 (uint16),
//                uint64 n = number of lines,
//                int32 [n] ids of each line, </s> included,
//                int64 [n] byte of PREFIX.bin at which each line begins
//
// All little-endian, without padding.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/checkpoint/mapped_file.h"
#include "train/pending_file.h"

namespace spanlm {

// Both files, mapped and checked. Immutable; movable.
class IndexedText {
 public:
  // Checks every line: it holds an id, begins where the one before ended, lies
  // in PREFIX.bin, ends in </s> and has ids below `vocab_size` only. Every
  // error names the file, and the first wrong line, counted from 1, where it is
  // a line that is wrong. kNotFound: no such file; kFailedPrecondition: an
  // index of another kind; kDataLoss: all else.
  static absl::StatusOr<IndexedText> Open(const std::string& prefix,
                                          int32_t vocab_size);

  // The ids of all lines, one line behind the other.
  absl::Span<const uint16_t> tokens() const {
    return {reinterpret_cast<const uint16_t*>(tokens_.bytes().data()),
            tokens_.bytes().size() / sizeof(uint16_t)};
  }
  int64_t line_count() const { return line_count_; }

 private:
  IndexedText(MappedFile tokens, int64_t line_count)
      : tokens_(std::move(tokens)), line_count_(line_count) {}

  MappedFile tokens_;
  int64_t line_count_;
};

// Writes both files in constant memory. The old index goes first and the new
// one comes last: where it is, PREFIX.bin is its own. One thread at a time.
class IndexedTextWriter {
 public:
  // kUnavailable, as from all calls: I/O.
  static absl::StatusOr<std::unique_ptr<IndexedTextWriter>> Create(
      const std::string& prefix);

  // Adds ids, and the sizes of the lines whose last id is among them.
  absl::Status Append(absl::Span<const uint16_t> tokens,
                      absl::Span<const int32_t> line_sizes);

  // The sizes must add up to the ids. Nothing else may follow.
  absl::Status Finish();

  int64_t token_count() const { return token_count_; }
  int64_t line_count() const { return line_count_; }

 private:
  explicit IndexedTextWriter(const std::string& prefix);
  absl::Status AppendOffsets();

  const std::string index_path_;
  PendingFile data_;
  PendingFile index_;
  int64_t token_count_ = 0;
  int64_t line_count_ = 0;
};

}  // namespace spanlm
