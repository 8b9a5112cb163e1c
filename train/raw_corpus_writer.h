// SPDX-License-Identifier: Apache-2.0
// Cuts a file of raw bytes into a raw corpus directory:
//
//   train.bytes, valid.bytes, test.bytes   consecutive ranges of the file
//   corpus.json   {"format_version": 1, "origin": "enwik8", "splits":
//                  {"train": {"bytes": N, "sha256": "…"}, "valid": …,
//                   "test": …}}
//
// corpus.json is written last: where it is, the three parts are whole.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace spanlm {

inline constexpr int kRawCorpusFormatVersion = 1;

// Sizes of the three consecutive parts, in bytes.
struct CorpusSplit {
  int64_t train = 0;
  int64_t valid = 0;
  int64_t test = 0;

  int64_t total() const { return train + valid + test; }
};

// 90 %, 5 % and the rest, borders rounded down: enwik8's split.
CorpusSplit DefaultSplit(int64_t size);

// Reads "TRAIN,VALID,TEST", counts of bytes. kInvalidArgument names the text.
absl::StatusOr<CorpusSplit> ParseSplit(absl::string_view text);

// Writes `folder` (made if missing) from the file `source`, in constant memory;
// each file appears under its name only when it is whole. Bytes past the
// split's total are left out. `progress` hears how many bytes are done.
// kNotFound: no such file; kInvalidArgument: a split larger than the file (both
// numbers named); kUnavailable: I/O.
absl::Status WriteRawCorpus(const std::string& source,
                            const std::string& folder, const CorpusSplit& split,
                            const std::function<void(int64_t)>& progress);

// What WriteRawCorpus begins with: checks that `source` holds the split's bytes
// and makes `folder`. Errors as there.
absl::Status PrepareSplit(const std::string& source, const std::string& folder,
                          const CorpusSplit& split);

// Makes a folder and those above it; it may be there. kUnavailable names it.
absl::Status MakeFolder(const std::string& path);

// The size of a regular file. kNotFound names it.
absl::StatusOr<int64_t> FileSize(const std::string& path);

}  // namespace spanlm
